"""What one direction of a speed test came to, from the curve of its bytes.

The headline is the mean of the steady part (`ots.stats.throughput`); beside it stand figures that other
programs publish under the same word, so that a difference can be explained instead of argued about.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ots.stats.throughput import Curve, Headline, Span, Warmup, headline, interval_rates

Confidence = Literal["low", "medium", "high"]

INTERVAL = 0.5
"""Seconds of an interval by which stability is judged."""

STABLE_INTERVALS = 4
STABLE_DEVIATION = 0.05
"""A rate is stable once the standard deviation of the last four moving averages, each over four intervals,
is below this share of the last one (draft-ietf-ippm-responsiveness-09)."""

PEAK_INTERVAL = 1.0

_SLICES, _FASTEST, _SLOWEST = 20, 2, 6
_RAMP_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """The rates of one direction, in bit/s; None where the time was too short for one."""

    headline: Headline
    peak: float | None
    trimmed: float | None
    ramp_seconds: float | None
    confidence: Confidence


def figures(
    curve: Curve, loaded: Span, first: float, rule: Warmup, min_rtt: float | None, loaded_rtt: float = 0.0
) -> Figures | None:
    """All that can be said of the span in which all connections ran; None if that is nothing.

    `first` is the instant of the first content of any connection, from which the ramp counts.
    """
    found = headline(curve, loaded, rule, min_rtt, loaded_rtt)
    if found is None:
        return None
    steady = [rate for _, rate in interval_rates(curve, found.window, INTERVAL)]
    return Figures(
        headline=found,
        peak=peak(curve, Span(first, loaded.end)),
        trimmed=trimmed(curve, loaded),
        ramp_seconds=ramp(curve, Span(first, loaded.end)),
        confidence=confidence(steady, sufficient=found.sufficient and found.steady),
    )


def peak(curve: Curve, span: Span) -> float | None:
    """The fastest whole second; None if there is none."""
    width = PEAK_INTERVAL
    rates = [rate for t, rate in interval_rates(curve, span, width) if t <= span.start + int(span.seconds)]
    return max(rates, default=None)


def trimmed(curve: Curve, span: Span) -> float | None:
    """Twenty equal slices without the fastest tenth and the slowest three tenths, the mean of the rest.

    The consumer method published in 2011; it hides what users feel as stalls, hence not the headline.
    """
    if span.seconds < _SLICES * curve.grain:
        return None
    width = span.seconds / _SLICES
    edges = [curve.at(span.start + k * width) for k in range(_SLICES + 1)]
    rates = sorted(8 * (b - a) / width for a, b in zip(edges, edges[1:], strict=False))
    return statistics.fmean(rates[_SLOWEST:-_FASTEST])


def ramp(curve: Curve, span: Span) -> float | None:
    """Seconds until the rates of four intervals in a row vary by less than a twentieth; None if never."""
    step = max(_RAMP_STEP, 2 * curve.grain)
    rates = [rate for _, rate in interval_rates(curve, span, step)]
    for k in range(len(rates) - STABLE_INTERVALS + 1):
        window = rates[k : k + STABLE_INTERVALS]
        mean = statistics.fmean(window)
        if mean > 0 and statistics.stdev(window) < STABLE_DEVIATION * mean:
            return k * step
    return None


def confidence(rates: Sequence[float], *, sufficient: bool = True) -> Confidence:
    """`low`: fewer than four intervals. `high`: the moving averages are stable. Else `medium`."""
    if len(rates) < STABLE_INTERVALS or not sufficient:
        return "low"
    averages = [
        statistics.fmean(rates[max(0, k + 1 - STABLE_INTERVALS) : k + 1])
        for k in range(STABLE_INTERVALS - 1, len(rates))
    ][-STABLE_INTERVALS:]
    if len(averages) < STABLE_INTERVALS or averages[-1] <= 0:
        return "medium"
    return "high" if statistics.pstdev(averages) < STABLE_DEVIATION * averages[-1] else "medium"
