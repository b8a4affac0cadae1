"""An echo run in plain data: when to send what, and what came of it.

The same whichever way the packets go: by our own socket or by the system's ping program.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from icmplib import ICMPError, ICMPReply

from ots.probe import Failed


class Due(NamedTuple):
    """A request of the schedule: `offset` seconds after the start, late from `tolerance` seconds on."""

    offset: float
    destination: int
    place: int
    tolerance: float


@dataclass(frozen=True, slots=True)
class Stream:
    """A periodic stream: `rounds` rounds, one every `period` seconds, from `start` on, each over the `size`
    destinations from number `first`, `spacing` seconds apart."""

    first: int
    rounds: int
    period: float
    size: int = 1
    spacing: float = 0.0
    start: float = 0.0
    tolerance: float = 0.0

    def due(self) -> Iterator[Due]:
        for place in range(self.rounds):
            for member in range(self.size):
                offset = self.start + place * self.period + member * self.spacing
                yield Due(offset, self.first + member, place, self.tolerance)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last request."""
        return self.start + (self.rounds - 1) * self.period + (self.size - 1) * self.spacing


def schedule(streams: Iterable[Stream]) -> Iterator[Due]:
    """The requests of all streams in the order in which they are due; never held in memory at once."""
    return heapq.merge(*(stream.due() for stream in streams))


@dataclass(frozen=True, slots=True)
class Settled:
    """One request has its answer, or none.

    `place` counts the requests to this destination from 0, `t` is the send time on the monotonic clock. With
    `rtt` None `reason` is the error class (`loss`, `unreachable`, `cancelled` …) and `failure` has what a
    router or the kernel said about it. `slipped`: it left too late to count as on schedule; `sent`: False if
    the kernel refused to send it.
    """

    destination: int
    place: int
    t: float
    rtt: float | None
    reason: str | None = None
    ttl: int | None = None
    slipped: bool = False
    sent: bool = True
    failure: Failed | None = None


@dataclass(frozen=True, slots=True)
class Extra:
    """A reply that doesn't count: the second to a request, or one after the timeout."""

    destination: int
    kind: Literal["duplicate", "late"]
    rtt: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An ICMP error that quoted a request of ours."""

    destination: int
    family: Literal["4", "6"]
    type: int
    code: int
    offender: str

    def failure(self) -> Failed:
        """The error as a probe's result: class `unreachable`, code as `ICMP 3/1` or `ICMPv6 1/4`."""
        protocol = "ICMP" if self.family == "4" else "ICMPv6"
        code = f"{protocol} {self.type}/{self.code}"
        by = f", says {self.offender}" if self.offender else ""
        return Failed("unreachable", "request", code, f"{self.meaning()} ({code}){by}", retryable=True)

    def meaning(self) -> str:
        """The words for type and code, icmplib's where it has any."""
        if self.family == "6" and self.type == 2:
            return "Packet too big"
        if self.type == (12 if self.family == "4" else 4):
            return "Parameter problem"
        version = 4 if self.family == "4" else 6
        reply = ICMPReply(self.offender, version, 0, 0, self.type, self.code, 0, 0.0)
        try:
            reply.raise_for_status()
        except ICMPError as error:
            return str(error)
        return "ICMP error"


Event = Settled | Extra | Refusal
Deliver = Callable[[list[Event]], None]
