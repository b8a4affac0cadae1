"""A series of samples in one line of text: bars for values, × for losses."""

from __future__ import annotations

from collections.abc import Sequence

from ots.model.metric import Value

LOST = "×"
_BARS = "▁▂▃▄▅▆▇█"
_FLAT = 0.1
"""A spread below this share of the largest value is drawn as small as it is."""


def sparkline(values: Sequence[Value | None], width: int, *, worst: str = "high") -> str:
    """At most `width` characters, each the worst of the samples it stands for; a lost sample is the worst.

    `worst` is `high` (delays) or `low` (rates).
    """
    if not values or width < 1:
        return ""
    groups = _groups(values, width)
    picked = [_pick(group, worst) for group in groups]
    present = [value for value in picked if value is not None]
    if not present:
        return LOST * len(picked)
    low, high = min(present), max(present)
    spread = max(high - low, abs(high) * _FLAT) or 1.0
    return "".join(
        LOST if value is None else _BARS[min(7, int((value - low) / spread * 8))] for value in picked
    )


def per_mark(values: Sequence[Value | None], width: int) -> int:
    """How many samples one character stands for, at most."""
    return -(-len(values) // width)


def _groups(values: Sequence[Value | None], width: int) -> list[Sequence[Value | None]]:
    size = per_mark(values, width)
    return [values[start : start + size] for start in range(0, len(values), size)]


def _pick(group: Sequence[Value | None], worst: str) -> float | None:
    if any(value is None for value in group):
        return None
    numbers = [float(value) for value in group if isinstance(value, int | float)]
    return (min(numbers) if worst == "low" else max(numbers)) if numbers else None
