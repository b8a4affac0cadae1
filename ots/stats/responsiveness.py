"""Responsiveness under load: the formulae of draft-ietf-ippm-responsiveness-09. Pure.

    F   = 60 / ((tm95(tcp) + tm95(tls) + tm95(http)) / 3)    of new connections; plain TCP: of two parts
    L   = 60 / tm95(self)                                    of the connections that carry the load
    RPM = (F + L) / 2                                        round trips a minute

tm95 is the mean of the samples up to the 95th percentile, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from ots.stats import distribution

DRAFT = "09"

DISTANCE = 4
"""Intervals in a moving average, and moving averages that stability looks at."""

TOLERANCE = 0.05
"""Their standard deviation in parts of the last one, below which a figure is stable."""

Confidence = Literal["low", "medium", "high"]
Grade = Literal["A+", "A", "B", "C", "D", "F"]

_GRADES: tuple[tuple[float, Grade], ...] = (
    (0.005, "A+"),
    (0.030, "A"),
    (0.060, "B"),
    (0.200, "C"),
    (0.400, "D"),
)


def moving_averages(values: Sequence[float]) -> list[float]:
    """Of each value the mean of it and of up to three before it."""
    return [fmean(values[max(0, end - DISTANCE) : end]) for end in range(1, len(values) + 1)]


def stable(values: Sequence[float]) -> bool:
    """Whether the last four moving averages of a figure differ by less than 5 %."""
    last = moving_averages(values)[-DISTANCE:]
    return len(last) == DISTANCE and last[-1] > 0 and stdev(last) < TOLERANCE * last[-1]


def rpm(
    tcp: Sequence[float], tls: Sequence[float], http: Sequence[float], own: Sequence[float]
) -> float | None:
    """Round trips a minute; None where a part is missing. Without TLS, `tls` is empty.

    20, 30 and 40 ms, and 60 ms on the load's connections, give F = 2000, L = 1000, RPM = 1500.
    """
    if not tcp or not http or not own:
        return None
    parts = [_tm95(each) for each in (tcp, tls, http) if each]
    foreign, loaded = fmean(parts), _tm95(own)
    if foreign <= 0 or loaded <= 0:
        return None
    return (60 / foreign + 60 / loaded) / 2


def confidence(intervals: int, *, is_stable: bool) -> Confidence:
    """`high` if goodput and responsiveness were stable, `low` below four intervals."""
    if intervals < DISTANCE:
        return "low"
    return "high" if is_stable else "medium"


def grade(increase: float) -> Grade:
    """The bufferbloat grade of a growth of the median round trip under load, in seconds.

    Below 5 ms A+, 30 A, 60 B, 200 C, 400 D, else F: the bands that consumer tests published.
    """
    return next((letter for bound, letter in _GRADES if increase < bound), "F")


def _tm95(values: Sequence[float]) -> float:
    return distribution.tm95(sorted(values))
