"""Throughput from bytes and instants: the common window, the warm-up, the rates of intervals.

Everything is computed from one curve: how many bytes all connections together had delivered at the instants
at which somebody looked. A sum of per-connection rates is not a rate; so the headline is the bytes of a
window that all connections share, divided by the time between the two instants that bound it (TR-143 "period
of full loading"). Its first part is warm-up: connections grow, and a shaper's first burst comes at line rate.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MIN_WARMUP = 0.075
WARMUP_RTTS = 12.0
"""The warm-up lasts at least this long, and at least so many minimum round trips."""

_STEADY = 0.9
_SLICE = 0.1
_SLICE_RTTS = 4.0
_BURST = 1.1
_REPAIR = 5
_EDGE = 0.5
_INTERVAL, _INTERVALS, _LATELY = 0.25, 4, 1.0


@dataclass(slots=True)
class Curve:
    """`total[k]` bytes had been delivered by the instant `t[k]` (seconds, ascending).

    The bytes of a point arrived within the `grain` seconds before it, or since the point before if that is
    later. That is how points are taken: one for each bucket of arrivals, stamped with the last of them.
    """

    grain: float
    t: list[float] = field(default_factory=list)
    total: list[int] = field(default_factory=list)

    def at(self, t: float) -> float:
        """Bytes delivered by an instant."""
        after = bisect_left(self.t, t)
        if after == len(self.t):
            return float(self.total[-1]) if self.total else 0.0
        before = self.total[after - 1] if after else 0
        since = self.t[after] - self.grain
        if after:
            since = max(since, self.t[after - 1])
        if t <= since:
            return float(before)
        share = (t - since) / (self.t[after] - since)
        return min(float(self.total[after]), before + (self.total[after] - before) * share)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Warmup:
    """What is left out at the start: `auto`, `none`, or a fixed number of seconds."""

    seconds: float | None = None
    auto: bool = True

    @property
    def name(self) -> str:
        if self.auto:
            return "auto"
        return "none" if not self.seconds else f"{self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Headline:
    """The rate of the steady part.

    `warmup` says what was really done: the rule's name, or `too_short` if nothing would have been left.
    `steady` is false if the rate was still growing at the middle of the transfer, `sufficient` is false if
    the window is too short for its rate to be trusted.
    """

    bits_per_second: float
    window: Span
    bytes: int
    warmup: str
    warmup_seconds: float
    steady: bool
    sufficient: bool


def full_loading(spans: Sequence[Span]) -> Span | None:
    """Latest first content to earliest last content of all connections; None if they never ran together."""
    if not spans:
        return None
    start, end = max(span.start for span in spans), min(span.end for span in spans)
    return Span(start, end) if end > start else None


def whole(spans: Iterable[Span]) -> Span | None:
    """Earliest first content to latest last content."""
    known = list(spans)
    if not known:
        return None
    return Span(min(span.start for span in known), max(span.end for span in known))


def merge(curves: Sequence[Curve]) -> Curve:
    """All connections together, from the curve of each on one clock."""
    merged = Curve(max((curve.grain for curve in curves), default=0.0))
    for t in sorted({t for curve in curves for t in curve.t}):
        merged.t.append(t)
        merged.total.append(round(sum(curve.at(t) for curve in curves)))
    return merged


def rate(curve: Curve, span: Span) -> tuple[float, Span, int] | None:
    """Bits per second between two instants at which bytes were seen, that window, and its bytes.

    An edge inside a gap moves to the next instant inside the span: what a repaired loss delivers late in one
    piece then counts wholly or not at all. An edge never moves over more than half a second: a link that went
    dead at the end is not to be read as steady.
    """
    first, last = bisect_left(curve.t, span.start), bisect_right(curve.t, span.end) - 1
    if first >= len(curve.t) or last < 0 or last < first:
        return None
    start, begun = curve.t[first], float(curve.total[first])
    if start - span.start > _EDGE:
        start, begun = span.start, curve.at(span.start)
    end, ended = curve.t[last], float(curve.total[last])
    if span.end - end > _EDGE:
        end = span.end
    if end <= start:
        return None
    count = round(ended - begun)
    return 8 * count / (end - start), Span(start, end), count


def headline(curve: Curve, loaded: Span, rule: Warmup, min_rtt: float | None) -> Headline | None:
    """The rate of the steady part of the span in which all connections were loaded."""
    steady = True
    if rule.auto:
        start, steady = steady_from(curve, loaded, min_rtt or 0.0)
        name = "auto"
    else:
        start, name = loaded.start + (rule.seconds or 0.0), rule.name
    found = rate(curve, Span(start, loaded.end)) if start < loaded.end else None
    if found is None:
        # The whole span counts its first read too: there is no earlier instant to count from.
        count = round(curve.at(loaded.end) - (curve.at(loaded.start) if _begun(curve, loaded) else 0))
        if loaded.seconds <= 0 or not count:
            return None
        found = 8 * count / loaded.seconds, loaded, count
        name, steady = "too_short" if rule.name != "none" else "none", False
    bits_per_second, window, count = found
    return Headline(
        bits_per_second=bits_per_second,
        window=window,
        bytes=count,
        warmup=name,
        warmup_seconds=max(0.0, window.start - loaded.start),
        steady=steady,
        sufficient=window.seconds >= sufficient_window(bits_per_second),
    )


def _begun(curve: Curve, span: Span) -> bool:
    return bool(curve.t) and curve.t[0] < span.start


def steady_from(curve: Curve, loaded: Span, min_rtt: float) -> tuple[float, bool]:
    """Where growth has stopped, and whether it did before the middle of the span.

    Skips max(75 ms, 12 minimum round trips), then slice after slice as long as the slice is slower than nine
    tenths of all that follows. A slow slice that a burst soon makes good is a loss and its repair, no growth:
    to leave out the gap and keep the burst would read high.
    """
    middle = loaded.start + loaded.seconds / 2
    step = max(_SLICE, _SLICE_RTTS * min_rtt, 2 * curve.grain)
    start = loaded.start + max(MIN_WARMUP, WARMUP_RTTS * min_rtt)
    while start < middle and start + 2 * step <= loaded.end:
        later = (curve.at(loaded.end) - curve.at(start + step)) / (loaded.end - start - step)
        slices = [
            (curve.at(start + (k + 1) * step) - curve.at(start + k * step)) / step
            for k in range(_REPAIR)
            if start + (k + 1) * step <= loaded.end
        ]
        repaired = max(slices) > _BURST * later and sum(slices) / len(slices) >= _STEADY * later
        if slices[0] >= _STEADY * later or repaired:
            return start, True
        start += step
    return start, False


def sufficient_window(bits_per_second: float) -> float:
    """Seconds that a window needs to hold a loss and its repair: 1.5 below 20 Mbit/s, 0.25 from 100."""
    if bits_per_second <= 20e6:
        return 1.5
    if bits_per_second >= 100e6:
        return 0.25
    return 1.5 - 1.25 * (bits_per_second - 20e6) / 80e6


def settled(curve: Curve, span: Span, min_rtt: float, band: float) -> bool:
    """Whether the rate has settled by the end of a span: the rule of `stop: stable`.

    The last four intervals lie behind the warm-up of max(75 ms, 12 minimum round trips), and the mean of each
    is within `band` (a share, 0.05) of the mean of all. An interval lasts 0.25 s, four minimum round trips,
    or a quarter of the window that the rate needs to be trusted, whichever is longest.
    """
    now = curve.at(span.end)
    lately = max(span.start, span.end - _LATELY)
    if span.end <= lately or now <= curve.at(lately):
        return False
    needed = sufficient_window(8 * (now - curve.at(lately)) / (span.end - lately))
    width = max(_INTERVAL, _SLICE_RTTS * min_rtt, needed / _INTERVALS)
    start = span.end - _INTERVALS * width
    if start < span.start + max(MIN_WARMUP, WARMUP_RTTS * min_rtt):
        return False
    marks = [curve.at(start + k * width) for k in range(_INTERVALS + 1)]
    mean = (marks[-1] - marks[0]) / _INTERVALS
    return all(abs(b - a - mean) <= band * mean for a, b in zip(marks, marks[1:], strict=False))


def interval_rates(curve: Curve, span: Span, width: float) -> list[tuple[float, float]]:
    """(end of the interval, bits per second) of the intervals of a span.

    A rest at the end counts if it is at least half an interval, divided by its real length.
    """
    rates: list[tuple[float, float]] = []
    start, before, index = span.start, curve.at(span.start), 1
    while True:
        end = min(span.start + index * width, span.end)
        if end - start < width / 2:
            return rates
        now = curve.at(end)
        rates.append((end, 8 * (now - before) / (end - start)))
        start, before, index = end, now, index + 1


def grouped(rates: Sequence[float], width: float, report: float) -> list[float]:
    """Means of neighbouring intervals: rates sampled every `width` seconds, reported every `report`."""
    count = max(1, round(report / width))
    whole_groups = len(rates) // count
    if not whole_groups:
        return [sum(rates) / len(rates)] if rates else []
    return [sum(rates[k * count : (k + 1) * count]) / count for k in range(whole_groups)]
