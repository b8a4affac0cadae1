"""A variable that may be set from elsewhere: its type, and the bounds within which others may set it.

    vars:
      size: {type: size, min: 1 MB, max: 100 MB, default: 10 MB}
      host: {pattern: '[a-z0-9-]+\\.example\\.net', default: www.example.net}

A variable that is only a value can be set on this machine, and by nobody else. Every parameter is bounded: a
number by `min` and `max`, a text by a pattern, both by choices; so that nobody's text becomes a target unless
whoever wrote the case said which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from ots import units
from ots.schema.place import Place
from ots.schema.shape import check
from ots.schema.written import ParameterType, ParameterWritten, Plain
from ots.units import Dimension, UnitError

LONGEST = 200
"""Characters of a value."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A variable with its bounds as they were written; `default` is None where it must be given."""

    name: str
    type: ParameterType
    minimum: str | None = None
    maximum: str | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    default: str | None = None

    def fault(self, text: str) -> str | None:
        """Why this can't be its value; None if it can."""
        if len(text) > LONGEST or not text.isprintable() or "${" in text:
            return f"expected one line of at most {LONGEST} characters without ${{"
        if self.choices and text not in self.choices:
            return f"{text!r} is none of {', '.join(self.choices)}"
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            return f"{text!r} does not fit the pattern {self.pattern}"
        if self.type == "text":
            return None
        try:
            value = _number(self.type, text)
            if self.minimum is not None and value < _number(self.type, self.minimum):
                return f"{text} is less than {self.minimum}"
            if self.maximum is not None and value > _number(self.type, self.maximum):
                return f"{text} is more than {self.maximum}"
        except ValueError as error:
            return str(error)
        return None

    @property
    def bounds(self) -> str:
        """Type and bounds on one line."""
        if self.choices:
            return f"{self.type}: {', '.join(self.choices)}"
        if self.pattern is not None:
            return f"{self.type}: {self.pattern}"
        return f"{self.type}: {self.minimum} – {self.maximum}"


def read_parameter(name: str, data: Any, place: Place) -> Parameter | None:
    """The declaration of a variable, or None after noting every problem."""
    written = check(ParameterWritten, data, place, "a variable with bounds")
    if written is None:
        return None
    parameter = Parameter(
        name,
        written.type,
        _text(written.min),
        _text(written.max),
        tuple(str(_text(choice)) for choice in written.choices or ()),
        written.pattern,
        _text(written.default),
    )
    if not _bounded(parameter, place) or not _sound(parameter, place):
        return None
    fault = None if parameter.default is None else parameter.fault(parameter.default)
    if fault is not None:
        place.problem(("default",), fault)
        return None
    return parameter


def _bounded(parameter: Parameter, place: Place) -> bool:
    if parameter.type == "text":
        if parameter.minimum is not None or parameter.maximum is not None:
            place.problem((), "min and max go with a number: say its type")
            return False
        if not parameter.choices and parameter.pattern is None:
            place.problem((), "a text that others may set needs choices or a pattern")
            return False
    elif parameter.pattern is not None:
        place.problem(("pattern",), "a pattern goes with type: text")
        return False
    elif not parameter.choices and (parameter.minimum is None or parameter.maximum is None):
        place.problem((), "a number that others may set needs min and max, or choices")
        return False
    return True


def _sound(parameter: Parameter, place: Place) -> bool:
    if parameter.pattern is not None:
        try:
            re.compile(parameter.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            place.problem(("pattern",), f"this is no pattern: {error}")
            return False
    if parameter.type == "text":
        return True
    low = high = None
    for key, text in (("min", parameter.minimum), ("max", parameter.maximum)):
        if text is None:
            continue
        try:
            value = _number(parameter.type, text)
        except ValueError as error:
            place.problem((key,), str(error))
            return False
        low, high = (value, high) if key == "min" else (low, value)
    if low is not None and high is not None and low > high:
        place.problem(("max",), "max is less than min")
        return False
    for index, choice in enumerate(parameter.choices):
        fault = parameter.fault(choice)
        if fault is not None:
            place.problem(("choices", index), fault)
            return False
    return True


def _number(kind: ParameterType, text: str) -> float:
    """The value in base units. Raises ValueError with what would be right."""
    if kind == "integer":
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"expected a whole number, got {text!r}")
        return float(int(text))
    try:
        return units.parse(text, cast(Dimension, kind))
    except UnitError as error:
        raise ValueError(str(error)) from None


def _text(value: Plain) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
