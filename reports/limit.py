"""A threshold's bounds as text and as a number."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from ots import units
from ots.i18n import N_
from ots.model.report import ThresholdResult
from ots.reports.plain import plain

Side = Literal["warn", "fail"]
"""What a breach of the bound means."""

_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*")
_BREACH = {
    "<": N_("{verdict} from {limit}"),
    "<=": N_("{verdict} above {limit}"),
    ">": N_("{verdict} up to {limit}"),
    ">=": N_("{verdict} below {limit}"),
}
_TYPESET = {"<=": "≤", ">=": "≥", "!=": "≠", "==": "="}


def number(expression: str | None, unit: str, key: str) -> float | None:
    """The bound of a comparison in base units; None for a range, a set, or no bound."""
    match = _COMPARISON.fullmatch(expression or "")
    if match is None:
        return None
    try:
        return units.parse(match[2], units.dimension_of(unit, key))
    except units.UnitError:
        return None


def typeset(expression: str) -> str:
    """`< 60 ms`, `≤ 1 %`."""
    match = _COMPARISON.fullmatch(expression)
    return plain(f"{_TYPESET.get(match[1], match[1])} {match[2]}" if match else expression)


def required(expression: str, verdict: str, gettext: Callable[[str], str]) -> str:
    """What must hold and what follows if it doesn't: `< 60 ms, else warn`."""
    return gettext("{limit}, else {verdict}").format(limit=typeset(expression), verdict=verdict)


def in_words(expression: str, verdict: str, gettext: Callable[[str], str]) -> str:
    """When it is breached: `warn from 60 ms`, `fail above 1 %`."""
    match = _COMPARISON.fullmatch(expression)
    if match is None or match[1] not in _BREACH:
        return gettext("{verdict} unless {limit}").format(verdict=verdict, limit=plain(expression))
    return gettext(_BREACH[match[1]]).format(verdict=verdict, limit=plain(match[2]))


def both(threshold: ThresholdResult) -> list[tuple[Side, str]]:
    """The bounds that a threshold has, the stricter one first."""
    sides: tuple[tuple[Side, str | None], ...] = (("warn", threshold.warn), ("fail", threshold.fail))
    return [(side, expression) for side, expression in sides if expression is not None]


def telling(threshold: ThresholdResult) -> tuple[Side, str] | None:
    """The bound that matters beside the value, as (`warn` or `fail`, expression).

    The one that was breached, else the one that would be breached first.
    """
    bounds = both(threshold)
    if threshold.verdict == "fail":
        bounds.reverse()
    return bounds[0] if bounds else None
