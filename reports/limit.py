"""A threshold's bounds as text and as a number."""

from __future__ import annotations

import re
from collections.abc import Callable

from ots import units
from ots.i18n import N_
from ots.model.report import ThresholdResult
from ots.reports.plain import plain

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


def in_words(expression: str, verdict: str, gettext: Callable[[str], str]) -> str:
    """When it is breached: `warn from 60 ms`, `fail above 1 %`."""
    match = _COMPARISON.fullmatch(expression)
    if match is None or match[1] not in _BREACH:
        return gettext("{verdict} unless {limit}").format(verdict=verdict, limit=plain(expression))
    return gettext(_BREACH[match[1]]).format(verdict=verdict, limit=plain(match[2]))


def telling(threshold: ThresholdResult) -> tuple[str, str] | None:
    """The bound that matters beside the value, as (`warn` or `fail`, expression).

    The one that was breached, else the one that would be breached first.
    """
    if threshold.verdict == "fail" and threshold.fail is not None:
        return "fail", threshold.fail
    if threshold.warn is not None:
        return "warn", threshold.warn
    return None if threshold.fail is None else ("fail", threshold.fail)
