"""Round numbers for the axes of a chart."""

from __future__ import annotations

import math

_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 × 10ⁿ, the last one at or above `high`; `about` so many, at least two.

    Where everything is one value (a counter that stayed at zero), the axis goes one unit beyond it.
    """
    if high <= low:
        high = low + 1.0
    step = _round_step((high - low) / max(1, about))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * position, 12) for position in range(first, last + 1)]


def time_ticks(start: float, end: float, about: int) -> list[float]:
    """Instants inside [start, end] in seconds, at steps that people read on a clock."""
    raw = (end - start) / max(1, about)
    step = next((step for step in _TIME_STEPS if step >= raw), 86400.0) if raw > 1 else _round_step(raw)
    first, last = math.ceil(start / step - 1e-9), math.floor(end / step + 1e-9)
    return [round(step * position, 12) for position in range(first, last + 1)]


def _round_step(raw: float) -> float:
    if raw <= 0:
        return 1.0
    magnitude: float = 10.0 ** math.floor(math.log10(raw))
    return next(
        (factor * magnitude for factor in (1, 2, 5) if factor * magnitude >= raw * 0.999), 10 * magnitude
    )
