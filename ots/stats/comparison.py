"""Whether two sets of observations differ, by one small rule that is the same for everybody.

- Counted ratios: Newcombe's score interval (method 10) of the difference of the two; 0 outside of it is a
  difference.
- Samples, at least 8 on both sides: Mann and Whitney's U, two-sided, corrected for ties. A difference is
  clear where p < 0.05 *and* one side's sample is the larger one in at least 56 % of all pairs (Vargha and
  Delaney's bound of a small effect): neighbouring samples of a link depend on each other, so p alone would
  see a difference between any two long runs.
- Anything else that has two 95 % intervals: they don't overlap.
- Without either it can't be told.

One of twenty figures that didn't change will look changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from ots.stats import interval

Test = Literal["mann_whitney", "score_interval", "intervals"]

FEWEST = 8
"""Samples on each side from which the normal approximation of U is good enough."""

ALPHA = 0.05
SMALL_EFFECT = 0.56


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether there is a difference; None where it can't be told.

    `p` is the probability of such a difference or a larger one between equal sets; `superiority` the share of
    pairs in which the second side's sample is larger (ties count half), 0.5 for equal sets. Both are of
    Mann and Whitney's test and None for others.
    """

    different: bool | None
    test: Test | None = None
    p: float | None = None
    superiority: float | None = None


CANT_TELL = Finding(None)


def of_samples(first: Sequence[float], second: Sequence[float]) -> Finding:
    """Mann and Whitney's test with the bound of a small effect; can't tell below FEWEST samples a side."""
    n, m = len(first), len(second)
    if min(n, m) < FEWEST:
        return CANT_TELL
    ordered = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    rank_sum = ties = 0.0
    position = 0
    while position < n + m:
        end = position
        while end < n + m and ordered[end][0] == ordered[position][0]:
            end += 1
        size = end - position
        rank_sum += sum(side for _value, side in ordered[position:end]) * (position + 1 + end) / 2
        ties += size**3 - size
        position = end
    u = rank_sum - m * (m + 1) / 2
    superiority = u / (n * m)
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:
        return Finding(False, "mann_whitney", 1.0, superiority)
    distance = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    p = min(1.0, 2 * NormalDist().cdf(-distance))
    clear = max(superiority, 1 - superiority) >= SMALL_EFFECT
    return Finding(p < ALPHA and clear, "mann_whitney", p, superiority)


def of_ratios(first: tuple[int, int], second: tuple[int, int]) -> Finding:
    """Two counted ratios, each (hits, n), by the score interval of their difference."""
    bounds = difference_of_ratios(first, second)
    if bounds is None:
        return CANT_TELL
    low, high = bounds
    return Finding(low > 0 or high < 0, "score_interval")


def difference_of_ratios(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float] | None:
    """95 % interval of second minus first, each (hits, n): Newcombe 1998, method 10; None without trials.

    56/70 against 48/80 gives [-0.3339, -0.0524].
    """
    one, two = interval.wilson(*first), interval.wilson(*second)
    if one is None or two is None:
        return None
    p, q = first[0] / first[1], second[0] / second[1]
    below = math.hypot(q - two[0], one[1] - p)
    above = math.hypot(two[1] - q, p - one[0])
    return q - p - below, q - p + above


def of_intervals(first: Sequence[float] | None, second: Sequence[float] | None) -> Finding:
    """Two 95 % intervals `(low, high)`: different where they don't overlap; can't tell without both."""
    if first is None or second is None:
        return CANT_TELL
    return Finding(first[1] < second[0] or second[1] < first[0], "intervals")


def hits_of(ratio: float, n: int, ci95: Sequence[float] | None) -> int | None:
    """The count behind a published ratio, or None if it was not counted over these n.

    A ratio over n that was counted carries the Wilson interval of just that count.
    """
    if n <= 0 or ci95 is None or not 0 <= ratio <= 1:
        return None
    hits = round(ratio * n)
    bounds = interval.wilson(hits, n)
    if bounds is None or not math.isclose(hits / n, ratio, rel_tol=1e-9, abs_tol=1e-12):
        return None
    same = all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(bounds, ci95, strict=True))
    return hits if same else None
