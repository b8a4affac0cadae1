"""Metrics' numbers as people read them, alone or in a row of one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ots import units
from ots.model.metric import StatValue
from ots.reports.plain import plain

MISSING = "—"

_STEPS: dict[units.Dimension, tuple[tuple[float, str], ...]] = {
    "duration": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "rate": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
    "size": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "frequency": ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")),
    "ratio": ((0.01, "%"),),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How numbers that stand together are shown: divided by `factor`, to so many decimals, in `unit`."""

    factor: float
    unit: str
    decimals: int

    def number(self, value: float) -> str:
        if value == 0:
            return "0"
        text = f"{value / self.factor:.{self.decimals}f}"
        return text if any(digit in text for digit in "123456789") else text.lstrip("-")


def scale(values: Iterable[float], unit: str, key: str = "") -> Scale:
    """One scale for all values, such that the first one that is not zero keeps three significant digits."""
    numbers = [abs(value) for value in values]
    reference = next((number for number in numbers if number), 0.0)
    if units.counted_in_bytes(key):
        return Scale(1.0, "B", 0)
    dimension = units.dimension_of(unit, key)
    steps = _STEPS.get(dimension, ((1.0, units.base(dimension)),))
    factor, name = next((step for step in steps if reference >= step[0] * 0.9995), steps[-1])
    if dimension == "duration" and not reference:
        factor, name = 1e-3, "ms"
    if all(math.isclose(number / factor, round(number / factor), abs_tol=1e-9) for number in numbers):
        return Scale(factor, name, 0)
    leading = math.floor(math.log10(reference / factor) + 1e-9)
    return Scale(factor, name, min(3, max(0, 2 - leading)))


def shown(value: StatValue, unit: str, key: str = "", *, limit: float | None = None) -> str:
    """A value with its unit: `14.8 ms`, `412 Mbit/s`, `4 %`; never rounded to the other side of a limit."""
    if value is None:
        return MISSING
    if isinstance(value, dict):
        return ", ".join(f"{plain(name)} × {count}" for name, count in value.items())
    if isinstance(value, bool):
        return "✔" if value else "✘"
    if isinstance(value, str):
        return plain(value)
    return units.display(value, unit, key=key, bound=limit)


def span(low: float, high: float, unit: str, key: str = "") -> str:
    """An interval, each end to two significant digits or whole: `0.71–20 %`."""
    fit = scale([high], unit, key)
    return f"{_rough(low / fit.factor)}–{_rough(high / fit.factor)} {fit.unit}".rstrip()


def _rough(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """How long something took: `1 min 52 s`, `9.8 s`, `180 ms`."""
    return f"{seconds:.1f} s" if 1 <= seconds < 59.95 else units.display(seconds, "s")
