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
_REPAIR_RTTS = 6.0
_REPAIR_LOADED_RTTS = 2.0
_ROUNDS = 20
_SAME = 2e-4
"""Share of a window's bytes by which two edges may differ and be as good as each other."""
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


def rate(
    curve: Curve, span: Span, min_rtt: float = 0.0, loaded_rtt: float = 0.0
) -> tuple[float, Span, int] | None:
    """Bits per second between two instants at which nothing was held back, that window, and its bytes.

    What arrives behind a lost segment is delivered only when the loss is repaired, then all at once. So the
    curve never lies above the line of what has arrived, and touches it where nothing is held back. The edges
    of the window are put where the curve is highest above a line of the window's own rate: each where bytes
    were seen, within the time that a repair takes (half a second, six minimum round trips or two loaded ones,
    whichever is longest), and never over more than a quarter of the span. Where nothing was seen for so long,
    neither edge moves: a link that went dead at the end is not to be read as steady.
    """
    if span.seconds <= 0:
        return None
    repair = max(_EDGE, _REPAIR_RTTS * min_rtt, _REPAIR_LOADED_RTTS * loaded_rtt)
    reach = min(repair, span.seconds / 4)
    starts = _seen(curve, Span(span.start, span.start + reach))
    ends = _seen(curve, Span(span.end - reach, span.end))
    if starts and ends:
        start, end = _touching(starts, ends[::-1])
    else:
        start = starts[0] if starts else (span.start, curve.at(span.start))
        end = ends[-1] if ends else (span.end, curve.at(span.end))
    count = round(end[1] - start[1])
    if end[0] <= start[0] or count <= 0:
        return None
    return 8 * count / (end[0] - start[0]), Span(start[0], end[0]), count


def _seen(curve: Curve, within: Span) -> list[tuple[float, float]]:
    """Instants at which bytes were seen, and the bytes until then."""
    first, last = bisect_left(curve.t, within.start), bisect_right(curve.t, within.end)
    return [(t, float(total)) for t, total in zip(curve.t[first:last], curve.total[first:last], strict=True)]


def _touching(
    starts: Sequence[tuple[float, float]], ends: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """One of each, both as high above the line between them as any; the outermost come first."""
    start, end = starts[0], ends[0]
    for _ in range(_ROUNDS):
        count = end[1] - start[1]
        slope = count / (end[0] - start[0])
        found = _highest(starts, slope, _SAME * count), _highest(ends, slope, _SAME * count)
        if found == (start, end):
            break
        start, end = found
    return start, end


def _highest(edges: Sequence[tuple[float, float]], slope: float, same: float) -> tuple[float, float]:
    """The first of those that lie highest above a line, give or take so many bytes."""
    above = [total - slope * t for t, total in edges]
    bound = max(above) - same
    return next(edge for edge, height in zip(edges, above, strict=True) if height >= bound)


def headline(
    curve: Curve, loaded: Span, rule: Warmup, min_rtt: float | None, loaded_rtt: float = 0.0
) -> Headline | None:
    """The rate of the steady part of the span in which all connections were loaded."""
    steady = True
    if rule.auto:
        start, steady = steady_from(curve, loaded, min_rtt or 0.0)
        name = "auto"
    else:
        start, name = loaded.start + (rule.seconds or 0.0), rule.name
    found = rate(curve, Span(start, loaded.end), min_rtt or 0.0, loaded_rtt) if start < loaded.end else None
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
