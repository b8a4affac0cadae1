"""An echo run counted while it goes on, for runs too long to keep every observation. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from ots.stats.histogram import Histogram

_Settled = float | Literal["lost", "unsent"]


class EchoTally:
    """What a long run to one host comes to. `start` is the number of the first request that counts.

    Exact: all counts, the first, smallest and largest round trip, both jitters, gaps, hops. To 0.5 µs or
    0.1 %, times `width`, as the histogram states: how round trips and their differences are distributed.
    """

    def __init__(self, start: int = 0) -> None:
        self.lost = 0
        self.invalid = 0
        self.reordered = 0
        self.duplicates = 0
        self.hops: Counter[int] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.bursts: Counter[int] = Counter()
        self.differences = Histogram()
        self.jitter_rfc3550 = 0.0
        self._absolute = 0.0
        self._first: float | None = None
        self._others = Histogram()
        self._counted = 0
        self._before: float | None = None
        self._burst = 0
        self._next = start
        self._furthest = -1
        self._waiting: dict[int, _Settled] = {}

    @property
    def received(self) -> int:
        return self._counted - self.lost

    @property
    def width(self) -> int:
        """By what the error of the round trips and their differences is multiplied."""
        return max(self._others.width, self.differences.width)

    @property
    def allocated(self) -> int:
        """Bytes that the distributions take."""
        return self._others.allocated + self.differences.allocated

    @property
    def jitter(self) -> float | None:
        """Mean of the absolute differences of neighbours; None without any."""
        return self._absolute / self.differences.n if self.differences.n else None

    def answered(self, place: int, rtt: float, hops: int | None) -> None:
        """A reply to request number `place`; replies are told in the order of arrival."""
        if place < self._furthest:
            self.reordered += 1
        self._furthest = max(self._furthest, place)
        if hops is not None:
            self.hops[hops] += 1
        self._settle(place, rtt)

    def unanswered(self, place: int, *, sent: bool) -> None:
        """Request number `place` was lost, or (not `sent`) says nothing about the network."""
        self._settle(place, "lost" if sent else "unsent")

    def finish(self) -> None:
        """Nothing more comes: what waits for a request before it is taken as it stands."""
        for place in sorted(self._waiting):
            self._take(self._waiting.pop(place))
        self._end_burst()

    def round_trips(self) -> list[float | None]:
        """Of the first request, then of the others that were answered, ascending, then None for each loss."""
        if not self._counted:
            return []
        missing = self.lost - (self._first is None)
        return [self._first, *self._others.values(), *[None] * missing]

    def _settle(self, place: int, settled: _Settled) -> None:
        """Takes requests in the order of sending; one settled early waits, a timeout at most."""
        self._waiting[place] = settled
        while self._next in self._waiting:
            self._take(self._waiting.pop(self._next))
            self._next += 1

    def _take(self, settled: _Settled) -> None:
        if settled == "unsent":
            self.invalid += 1
            return
        rtt = None if settled == "lost" else settled
        if rtt is None:
            self.lost += 1
            self._burst += 1
        else:
            self._end_burst()
            if self._counted == 0:
                self._first = rtt
            else:
                self._others.add(rtt)
            if self._before is not None:
                self._differ(rtt - self._before)
        self._before = rtt
        self._counted += 1

    def _differ(self, difference: float) -> None:
        self.differences.add(difference)
        self._absolute += abs(difference)
        self.jitter_rfc3550 += (abs(difference) - self.jitter_rfc3550) / 16

    def _end_burst(self) -> None:
        if self._burst:
            self.bursts[self._burst] += 1
            self._burst = 0
