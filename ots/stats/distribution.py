"""Statistics of a set of samples. The percentile is RFC 2330 §11.3's: no interpolation, never a guess."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

PERCENTILES: dict[str, float] = {
    "p05": 0.05,
    "p10": 0.10,
    "p25": 0.25,
    "p75": 0.75,
    "p90": 0.90,
    "p95": 0.95,
    "p98": 0.98,
    "p99": 0.99,
    "p999": 0.999,
}

TOO_FEW = "too_few_samples"


def percentile(ordered: Sequence[float], p: float) -> float:
    """The smallest sample x with F(x) >= p (RFC 2330 §11.3; Hyndman-Fan type 1). `ordered` ascends."""
    return ordered[max(0, math.ceil(round(len(ordered) * p, 9)) - 1)]


def needed(stat: str) -> int:
    """How many valid samples a statistic needs before it may be published."""
    if stat in PERCENTILES:
        p = PERCENTILES[stat]
        return math.ceil(round(1 / (1 - p) if p > 0.5 else 1 / p, 9))
    return 2 if stat in ("stddev", "cv") else 20 if stat == "tm95" else 1


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def median(ordered: Sequence[float]) -> float:
    """Middle value; for an even n the mean of the two middle ones."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def stddev(values: Sequence[float]) -> float:
    """Sample standard deviation, divisor n-1."""
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def mdev(values: Sequence[float]) -> float:
    """Population standard deviation: the number that iputils ping prints as mdev."""
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / len(values))


def mad(values: Sequence[float]) -> float:
    """Median absolute deviation from the median."""
    centre = median(sorted(values))
    return median(sorted(abs(value - centre) for value in values))


def tm95(ordered: Sequence[float]) -> float:
    """Mean of the samples not above the 95th percentile (draft-ietf-ippm-responsiveness)."""
    limit = percentile(ordered, 0.95)
    return mean([value for value in ordered if value <= limit])


_SIMPLE: dict[str, Callable[[Sequence[float]], float]] = {
    "min": lambda ordered: ordered[0],
    "max": lambda ordered: ordered[-1],
    "mean": mean,
    "median": median,
    "stddev": stddev,
    "mdev": mdev,
    "mad": mad,
    "tm95": tm95,
    "sum": math.fsum,
    "mean_abs": lambda ordered: mean([abs(value) for value in ordered]),
    "cv": lambda ordered: stddev(ordered) / mean(ordered) if mean(ordered) else math.nan,
    "value": lambda ordered: ordered[-1] if len(ordered) == 1 else median(ordered),
    "distinct": lambda ordered: float(len(set(ordered))),
}

NAMES: frozenset[str] = frozenset({*_SIMPLE, *PERCENTILES, "mode", "first", "histogram"})
"""Every statistic that a metric may declare."""


def compute(stat: str, ordered: Sequence[float]) -> tuple[float | None, str | None]:
    """A statistic over ascending samples, as (value, None) or (None, reason)."""
    if not ordered:
        return None, "no_samples"
    if len(ordered) < needed(stat):
        return None, TOO_FEW
    if stat in PERCENTILES:
        return percentile(ordered, PERCENTILES[stat]), None
    if stat == "mode":
        return Counter(ordered).most_common(1)[0][0], None
    value = _SIMPLE[stat](ordered)
    return (value, None) if math.isfinite(value) else (None, "undefined")
