"""The core types of YAML 1.2 (§10.3.2): null, bool, int, float, and everything else is text."""

from __future__ import annotations

import math
import re
from typing import Any

from ots.strictyaml.node import Mapping, Node, Scalar
from ots.strictyaml.problem import Problem

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS = 20

Value = str | int | float | bool | None


def resolve(node: Node, problems: list[Problem], source: str = "") -> Any:
    """The tree as dicts, lists and scalars. What can't be resolved goes into `problems` and becomes None."""
    if isinstance(node, Mapping):
        return {key.text: resolve(value, problems, source) for key, value in node.pairs}
    if not isinstance(node, Scalar):
        return [resolve(item, problems, source) for item in node.items]
    try:
        return value_of(node)
    except ValueError as error:
        problems.append(Problem(source, node.mark.line, node.mark.column, str(error)))
        return None


def value_of(scalar: Scalar) -> Value:
    """One scalar's value; ValueError says why it has none."""
    value: Value = _core(scalar.text) if scalar.plain or scalar.tag not in (None, "str") else scalar.text
    if scalar.tag is None:
        return value
    if scalar.tag == "float" and type(value) is int:
        return float(value)
    if type(value).__name__.replace("NoneType", "null") != scalar.tag:
        raise ValueError(f"{scalar.text!r} is no {scalar.tag}: take the tag !!{scalar.tag} out")
    return value


def _core(text: str) -> Value:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits is too large: put it in quotes if it is text")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number: put it in quotes if it is text")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is too large for a number: put it in quotes if it is text")
        return number
    return text
