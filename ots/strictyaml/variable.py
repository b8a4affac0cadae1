"""Variables: `${name}` in a scalar becomes the variable's text before the scalar gets its type.

A value is put into one scalar and can't change the structure around it; what it contains is not looked at
again. `${secret:name}` is left alone, and `$${` writes a literal `${`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from collections.abc import Mapping as Table

from ots.strictyaml.node import Mapping, Mark, Node, Scalar, Sequence
from ots.strictyaml.problem import Problem

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_MAX_TEXT = 64 * 1024


def suggest(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'count'?`, or the names there are if none is near and they are few, or nothing."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f": did you mean {near[0]!r}?"
    return f" (known: {', '.join(names)})" if names and len(names) <= 24 else ""


class Variables:
    """Names and their texts; None stands for a variable that is declared and must be given.

    `used` collects the names that were asked for. `unusable` are names that exist but can't be used here,
    with the reason; an empty reason was told before, and only the place is noted in `spoiled`.
    """

    def __init__(
        self,
        values: Table[str, str | None],
        used: set[str] | None = None,
        unusable: Table[str, str] | None = None,
    ) -> None:
        self.values = values
        self.used: set[str] = set() if used is None else used
        self.unusable = unusable or {}
        self.spoiled: set[Mark] = set()

    def apply(self, node: Node, problems: list[Problem], source: str = "") -> Node:
        """The same tree with every scalar's references replaced; faults go into `problems`."""
        if isinstance(node, Sequence):
            return Sequence(tuple(self.apply(item, problems, source) for item in node.items), node.mark)
        if isinstance(node, Mapping):
            for key, _ in node.pairs:
                if "${" in key.text:
                    problems.append(_problem(source, key, f"{key.text!r}: a variable can't stand in a key"))
            pairs = tuple((key, self.apply(value, problems, source)) for key, value in node.pairs)
            return Mapping(pairs, node.mark)
        if "${" not in node.text:
            return node
        text = self.expand(node, problems, source)
        return Scalar(text, node.plain and bool(text), node.mark, node.tag)

    def expand(self, scalar: Scalar, problems: list[Problem], source: str = "") -> str:
        """One scalar's text with its references replaced."""

        def replace(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match[1]
            if name is not None and name.startswith("secret:"):
                return match[0]
            found = self._look_up(name)
            if not isinstance(found, _NoValue):
                return found
            self.spoiled.add(scalar.mark)
            if found:
                problems.append(_problem(source, scalar, str(found)))
            return ""

        text = _REFERENCE.sub(replace, scalar.text)
        if len(text) > _MAX_TEXT:
            problems.append(
                _problem(source, scalar, f"longer than {_MAX_TEXT} characters once variables are in")
            )
            return ""
        return text

    def _look_up(self, name: str | None) -> str | _NoValue:
        if name is None:
            return _NoValue("'${' without '}': write ${name}, or $${ for the characters themselves")
        if not NAME.fullmatch(name):
            return _NoValue(f"${{{name}}} is no variable: a name has letters, digits and _")
        self.used.add(name)
        if name in self.unusable:
            return _NoValue(self.unusable[name])
        if name not in self.values:
            return _NoValue(f"unknown variable {name!r}{suggest(name, self.values) or ': add it to vars'}")
        value = self.values[name]
        if value is None:
            return _NoValue(f"variable {name!r} has no value: give it with --var {name}=…")
        return value


class _NoValue(str):
    """Why a reference has no value; empty if that was told before."""


def _problem(source: str, scalar: Scalar, message: str) -> Problem:
    return Problem(source, scalar.mark.line, scalar.mark.column, message)
