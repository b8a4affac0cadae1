"""How a transfer went along: whether its rate held, and whether its sender paused. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from ots.stats.throughput import Curve, Span

_PAUSE = 0.03
_PAUSE_RTTS = 2.5
"""Nothing for this long, and for so many least round trips, is a pause: a connection that only waits for
acknowledgements has something every round trip."""

_BURST = 6000
"""Bytes that follow a pause at least: a slow line, too, brings its segments far apart, but one by one."""


def drift(curve: Curve, window: Span) -> float | None:
    """The rate of a window's second half over that of its first; None where the first had nothing."""
    middle = (window.start + window.end) / 2
    first = curve.at(middle) - curve.at(window.start)
    return (curve.at(window.end) - curve.at(middle)) / first if first > 0 else None


def paused(curve: Curve, window: Span, min_rtt: float) -> float:
    """Seconds of a window in which nothing came although the line was free: bursts came after that."""
    longest = max(_PAUSE, _PAUSE_RTTS * min_rtt)
    first, end = bisect_left(curve.t, window.start), bisect_right(curve.t, window.end)
    # A point is stamped with the last arrival of its bucket.
    gaps = [
        (after, quiet)
        for after in range(first + 1, end)
        if (quiet := curve.t[after] - curve.t[after - 1] - curve.grain) >= longest
    ]
    ends = [after for after, _quiet in gaps[1:]] + [end]
    return sum(
        quiet
        for (after, quiet), last in zip(gaps, ends, strict=False)
        if curve.total[last - 1] - curve.total[after - 1] >= _BURST
    )
