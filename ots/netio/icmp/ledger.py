"""Which requests of a sweep are out, and what came of each.

Requests are numbered from 0 on through all networks, round after round. A number stands in its packet.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count, islice, repeat
from operator import sub
from typing import NamedTuple

from ots.netio.icmp.members import Members
from ots.netio.icmp.packet import Echo
from ots.netio.icmp.stream import Refusal
from ots.netio.icmp.swept import Swept
from ots.netio.stamps import TOLERANCE


@dataclass(slots=True)
class _Round:
    """One request to every address: when each left, and whether it has been settled."""

    sent: array[float]
    settled: bytearray
    last: float = 0.0
    calls: list[tuple[int, float]] = field(default_factory=list)
    """The first number and the beginning of each call of several packets."""

    def before(self, number: int) -> float:
        """When the call that sent a request began."""
        call = bisect_right(self.calls, (number, math.inf)) - 1
        return self.calls[call][1] if call >= 0 else self.sent[number]

    def from_calls(self, first: int, trips: Sequence[float], arrived: Sequence[float]) -> list[float]:
        """The round trips of a run from the `first` on; one below zero counts from the beginning of the call:
        the interpolated time of sending was too late for it."""
        before = self.before(first)
        if before == self.before(first + len(trips) - 1):
            begun: Iterable[float] = repeat(before, len(trips))
        else:
            begun = map(self.before, range(first, first + len(trips)))
        return [
            trip if trip > 0.0 else max(0.0, at - call)
            for trip, at, call in zip(trips, arrived, begun, strict=True)
        ]


class Place(NamedTuple):
    """Whom a request went to: the round, the address's number among all, the network and the member of it."""

    turn: int
    entry: int
    at: int
    member: int


class Ledger:
    """Keeps the books of one shard: its networks' `Swept`, and the requests that can still be answered."""

    def __init__(self, networks: Sequence[Swept], timeout: float) -> None:
        self.networks = networks
        self._timeout = timeout
        self._starts = [0, *accumulate(len(each.members) for each in networks)]
        self._total = self._starts[-1]
        self._count = self._total * max((each.stream.rounds for each in networks), default=0)
        self._rounds: dict[int, _Round] = {}
        self._open = 0
        self.number = 0
        """Of the next request."""
        self.sent = self.received = self.unstamped = self.largest_batch = 0
        self.spread = 0.0
        """The longest call that sent several."""

    @property
    def all_sent(self) -> bool:
        return self.number == self._count

    @property
    def finished(self) -> bool:
        """Whether nothing is to be sent or can be answered any more."""
        return self.all_sent and (not self._open or not self._rounds)

    @property
    def gives_up_at(self) -> float | None:
        """When the first round's last request has had its time; None if none is out."""
        return min((each.last + self._timeout for each in self._rounds.values()), default=None)

    def place(self, number: int) -> Place:
        turn, index = divmod(number, self._total)
        at = bisect_right(self._starts, index) - 1
        return Place(turn, index, at, index - self._starts[at])

    def due(self, number: int) -> float:
        """When a request is due, in seconds after the start."""
        place = self.place(number)
        stream = self.networks[place.at].stream
        return stream.start + place.turn * stream.period + place.member * stream.spacing

    def book(self, sent: int, before: float, after: float) -> None:
        """The next `sent` requests, all to one network, left in a call from `before` to `after`."""
        turn, first, at, member = self.place(self.number)
        current, network = self._round(turn), self.networks[at]
        step = (after - before) / sent
        times = array("d", islice(count(before, step), sent))
        current.sent[first : first + sent] = times
        current.last = before
        if sent > 1:
            current.calls.append((first, before))
            self.spread = max(self.spread, after - before)
        if turn == 0:
            network.times[member : member + sent] = times
        network.first_sent = min(network.first_sent, before)
        network.last_sent = before
        network.sent += sent
        self._open += sent
        self.sent += sent
        self.number += sent
        self.largest_batch = max(self.largest_batch, sent)

    def pass_over(self, now: float) -> None:
        """The next request could not be sent."""
        turn, index, at, member = self.place(self.number)
        network = self.networks[at]
        if math.isnan(network.times[member]):
            network.times[member] = now
        network.first_sent = min(network.first_sent, now)
        network.last_sent = now
        self._round(turn).settled[index] = 1
        self.number += 1

    def answer(self, place: Place, arrived: float | None, seen: float) -> None:
        """Books a reply to a request of ours, which may be one more of those, or late.

        `arrived` is by its stamp, None without one; `seen` is when it was read, which then takes its place.
        """
        current = self._rounds.get(place.turn)
        if current is None or math.isnan(current.sent[place.entry]):
            return
        sent = current.sent[place.entry]
        network = self.networks[place.at]
        if arrived is None or not sent - self.spread - TOLERANCE <= arrived <= seen + TOLERANCE:
            arrived = seen
            self.unstamped += 1
        rtt = arrived - sent
        if rtt <= 0.0:
            rtt = max(0.0, arrived - current.before(place.entry))
        self.received += 1
        if current.settled[place.entry]:
            network.duplicates += 1
            return
        current.settled[place.entry] = 1
        self._open -= 1
        if rtt > self._timeout:
            network.late += 1
            network.late_longest = max(rtt, network.late_longest or 0.0)
            return
        network.replies += 1
        network.last_reply = max(network.last_reply, arrived)
        if rtt < network.rtts[place.member]:
            network.rtts[place.member] = rtt
            network.times[place.member] = sent

    def room(self, place: Place) -> int:
        """How many requests from this one on went to the same network in the same round."""
        return self._starts[place.at + 1] - place.entry

    def answer_run(self, place: Place, arrived: Sequence[float], seen: float) -> bool:
        """Books replies to as many requests in a row, from `place` on; they must have `room`.

        False, and nothing is booked, if one of them needs a look of its own.
        """
        current = self._rounds.get(place.turn)
        turn, index, at, member = place
        stop, network = index + len(arrived), self.networks[at]
        if current is None or turn or stop > self.number or 1 in current.settled[index:stop]:
            return False
        rtts = list(map(sub, arrived, current.sent[index:stop]))
        latest, least = max(arrived), min(rtts)
        if not (least >= -self.spread - TOLERANCE and max(rtts) <= self._timeout):
            return False
        if latest > seen + TOLERANCE:
            return False
        if least <= 0.0:
            rtts = current.from_calls(index, rtts, arrived)
        current.settled[index:stop] = b"\1" * len(arrived)
        network.rtts[member : member + len(arrived)] = array("d", rtts)
        network.replies += len(arrived)
        network.last_reply = max(network.last_reply, latest)
        self._open -= len(arrived)
        self.received += len(arrived)
        return True

    def refuse(self, place: Place, refusal: Refusal, now: float) -> None:
        """Books an ICMP error that quotes a request."""
        network = self.networks[place.at]
        network.refuse(place.member, refusal)
        current = self._rounds[place.turn]
        if not current.settled[place.entry]:
            current.settled[place.entry] = 1
            self._open -= 1
            network.last_reply = max(network.last_reply, now)

    def asked(self, echo: Echo, family: str) -> Place | None:
        """Whom the request went to that an echo belongs to; None if it isn't ours.

        A router that quotes eight bytes leaves the sequence number alone to know it by, which may stand for
        several: then nobody can say.
        """
        number = echo.number
        if number is None:
            high = (self.number - 1 - echo.sequence) >> 16
            number = (high << 16) + echo.sequence
            if high < 0 or number - 0x10000 >= 0 and (number - 0x10000) // self._total in self._rounds:
                return None
        place = self.place(number)
        current = self._rounds.get(place.turn)
        if current is None or math.isnan(current.sent[place.entry]):
            return None
        return place if self.members(place).family == family else None

    def members(self, place: Place) -> Members:
        """Of the network that a request went to."""
        return self.networks[place.at].members

    def forget(self, now: float) -> None:
        """Lets go of the rounds that can have no answer any more, counted from their last request."""
        for turn in list(self._rounds):
            current = self._rounds[turn]
            if (turn + 1) * self._total <= self.number and current.last + self._timeout < now:
                self._open -= len(current.settled) - sum(current.settled)
                del self._rounds[turn]

    def cut(self, now: float) -> None:
        """Ends early: what is on its way stays undecided."""
        for network in self.networks:
            network.cut = now - self._timeout
        for each in self._rounds.values():
            for index, (at, settled) in enumerate(zip(each.sent, each.settled, strict=True)):
                if not settled and at >= now - self._timeout:
                    self.networks[self.place(index).at].in_flight += 1

    def _round(self, turn: int) -> _Round:
        if turn not in self._rounds:
            self._rounds[turn] = _Round(array("d", [math.nan]) * self._total, bytearray(self._total))
        return self._rounds[turn]
