"""95 % intervals of confidence: Wilson for ratios, order statistics for percentiles, Student t for means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

_Z95 = NormalDist().inv_cdf(0.975)

_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom."""


def wilson(hits: int, n: int) -> tuple[float, float] | None:
    """Wilson score interval of a ratio hits/n. 0 of 20 gives [0, 0.161]; None for n = 0."""
    if n == 0:
        return None
    ratio = hits / n
    square = _Z95 * _Z95
    centre = ratio + square / (2 * n)
    spread = _Z95 * math.sqrt(ratio * (1 - ratio) / n + square / (4 * n * n))
    scale = 1 + square / n
    low = 0.0 if hits == 0 else (centre - spread) / scale
    high = 1.0 if hits == n else (centre + spread) / scale
    return max(0.0, low), min(1.0, high)


def of_percentile(ordered: Sequence[float], p: float) -> tuple[float, float] | None:
    """Order-statistic interval: ranks below and above which the p-quantile lies with 95 %, by the binomial.

    None where n is too small for both ranks to exist.
    """
    n = len(ordered)
    below = 0.0
    low_rank = high_rank = None
    term = math.exp(n * math.log1p(-p)) if p < 1 else 0.0
    for k in range(n):
        if term == 0.0 and k < n * p:
            return _normal_ranks(ordered, p)
        before, below = below, below + term
        if before <= 0.025 < below or (k == 0 and below > 0.025):
            low_rank = k
        if below >= 0.975 and high_rank is None:
            high_rank = k + 1
        term *= (n - k) / (k + 1) * p / (1 - p)
    if not low_rank or high_rank is None or high_rank > n:
        return None
    return ordered[low_rank - 1], ordered[high_rank - 1]


def _normal_ranks(ordered: Sequence[float], p: float) -> tuple[float, float] | None:
    """The same by the normal approximation, for sets so large that the binomial's first term underflows."""
    n = len(ordered)
    spread = _Z95 * math.sqrt(n * p * (1 - p))
    low, high = math.floor(n * p - spread), math.ceil(n * p + spread) + 1
    if low < 1 or high > n:
        return None
    return ordered[low - 1], ordered[high - 1]


def of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """Student t interval of the mean of attempts; None below two."""
    n = len(values)
    if n < 2:
        return None
    centre = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n - 1))
    quantile = _T95[n - 2] if n - 2 < len(_T95) else _Z95
    spread = quantile * deviation / math.sqrt(n)
    return centre - spread, centre + spread
