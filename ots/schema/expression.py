"""What must hold for a value: `< 60 ms`, `>= 50 Mbit/s`, `in [0, 1]`, `between 10 ms and 20 ms`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ots import units
from ots.model.metric import Value
from ots.units import Dimension, UnitError

Operator = Literal["<", "<=", ">", ">=", "==", "!=", "in", "between"]

_COMPARATORS: dict[str, Operator] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "==", "!=": "!="}
_COMPARISON = re.compile(r"(<=|>=|==|!=|<|>)\s*([^<>=!\s].*)", re.DOTALL)
_IN = re.compile(r"in\s*\[(.*)\]", re.DOTALL)
_BETWEEN = re.compile(r"between\s+(.+?)\s*(?:\band\b|,|\s)\s*([+-]?[\d.].*)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]{1,64}|'[^']{0,64}'|\"[^\"]{0,64}\"")
_SLIPS = {"=<": "<=", "=>": ">=", "=": "==", "≤": "<=", "≥": ">=", "≠": "!=", "<>": "!="}
_MAX_TEXT = 200


class ExpressionError(ValueError):
    """The text is no expression for such a metric; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; `values` are in base units, or words where the metric is a state."""

    text: str
    operator: Operator
    values: tuple[Value, ...]

    @classmethod
    def parse(cls, text: str, dimension: Dimension | None) -> Expression:
        """Reads an expression over a dimension, or over words if it is None. Raises ExpressionError."""
        trimmed = text.strip()
        operator, parts = _split(trimmed, dimension)
        if dimension is None:
            if operator not in ("==", "!=", "in"):
                raise ExpressionError(f"{trimmed!r}: a state is compared with ==, != or in [a, b]")
            return cls(trimmed, operator, tuple(_word(part) for part in parts))
        try:
            values = tuple(units.parse(part, dimension) for part in parts)
        except UnitError as error:
            raise ExpressionError(f"{trimmed!r}: {error}") from None
        if operator == "between" and values[0] > values[1]:
            raise ExpressionError(f"{trimmed!r}: the smaller value comes first")
        return cls(trimmed, operator, values)

    @property
    def upper_bound(self) -> bool:
        """Whether a larger value can only be worse."""
        return self.operator in ("<", "<=")

    @property
    def bounds(self) -> tuple[float, ...]:
        """The numbers that it names, in base units."""
        return tuple(value for value in self.values if isinstance(value, float))

    def holds(self, value: Value) -> bool:
        """Whether the value is as required. Exact on the stored doubles."""
        if isinstance(value, bool | str) or any(isinstance(known, str) for known in self.values):
            known_words = {str(known).lower() for known in self.values}
            return (str(value).lower() in known_words) is not (self.operator == "!=")
        low, high = float(self.values[0]), float(self.values[-1])
        match self.operator:
            case "<":
                return value < high
            case "<=":
                return value <= high
            case ">":
                return value > low
            case ">=":
                return value >= low
            case "between":
                return low <= value <= high
            case "!=":
                return value != low
            case _:
                return value in self.values


def weaker(fail: Expression, warn: Expression) -> bool:
    """Whether everything that satisfies `warn` satisfies `fail`, and something more does.

    Both are constant between the numbers that they name, so one point in each gap and the numbers
    themselves decide it exactly.
    """
    points: list[Value] = ["", *fail.values, *warn.values]
    numbers = sorted({*fail.bounds, *warn.bounds})
    if numbers:
        between = [(low + high) / 2 for low, high in zip(numbers, numbers[1:], strict=False)]
        outside = [numbers[0] - abs(numbers[0]) - 1, numbers[-1] + abs(numbers[-1]) + 1]
        points = [*numbers, *between, *outside]
    judged = [(fail.holds(point), warn.holds(point)) for point in points]
    return (False, True) not in judged and (True, False) in judged


def _split(text: str, dimension: Dimension | None) -> tuple[Operator, Sequence[str]]:
    example = f"'< {units.EXAMPLES[dimension]}'" if dimension else "'== open'"
    if not text or len(text) > _MAX_TEXT:
        raise ExpressionError(f"expected what must hold, such as {example}")
    found = _IN.fullmatch(text)
    if found is not None:
        return "in", [part.strip() for part in found[1].split(",")]
    if text.startswith("between"):
        found = _BETWEEN.fullmatch(text)
        if found is None:
            raise ExpressionError(f"{text!r}: write between A and B")
        return "between", [found[1], found[2]]
    found = _COMPARISON.fullmatch(text)
    if found is not None:
        return _COMPARATORS[found[1]], [found[2]]
    for slip, right in _SLIPS.items():
        if text.startswith(slip):
            raise ExpressionError(f"{text!r}: write {right} {text.removeprefix(slip).strip()}")
    raise ExpressionError(f"{text!r} is no limit: write what must hold, such as {example}")


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ExpressionError(f"{text!r} is no word: letters and digits, or quotes around it")
    return text.strip("'\"")
