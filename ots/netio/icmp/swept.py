"""What a sweep finds out about a network: arrays with one place for each address, and counts."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ots.netio.icmp.members import Members
from ots.netio.icmp.stream import Refusal, Stream
from ots.probe import Failed


class Host(NamedTuple):
    """The best that came of one address: its smallest round trip, or None and why.

    `t` is when that request was sent; of a silent address, the first one.
    """

    number: int
    t: float
    rtt: float | None
    reason: str


@dataclass(slots=True)
class Swept:
    """One network of a sweep. Counts are packets; a request on its way at a cancellation is `in_flight`."""

    members: Members
    stream: Stream
    rtts: array[float] = field(init=False)
    times: array[float] = field(init=False)
    reasons: dict[int, str] = field(default_factory=dict)
    """Of addresses that gave an answer other than silence."""
    sent: int = 0
    replies: int = 0
    duplicates: int = 0
    late: int = 0
    late_longest: float | None = None
    in_flight: int = 0
    first_sent: float = math.inf
    last_sent: float = -math.inf
    last_reply: float = -math.inf
    refusals: Counter[tuple[int, int]] = field(default_factory=Counter)
    """ICMP errors by type and code."""
    failures: dict[str, Failed] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    cut: float = math.inf
    """When the run was cut short: an address asked for the first time less than a timeout before is none."""

    def __post_init__(self) -> None:
        self.rtts = array("d", [math.inf]) * len(self.members)
        self.times = array("d", [math.nan]) * len(self.members)

    def part(self, number: int, of: int, start: float) -> Swept:
        """The `number`-th of `of` parts of a network, with every `of`-th place of its schedule."""
        size = len(self.members)
        first, stop = size * number // of, size * (number + 1) // of
        spacing = self.stream.spacing * of
        stream = replace(self.stream, size=stop - first, spacing=spacing, start=start)
        return Swept(self.members.part(first, stop), stream)

    def join(self, parts: Sequence[Swept]) -> None:
        """Takes over what was found out in all the parts of this network, in their order."""
        self.rtts, self.times = array("d"), array("d")
        for part in parts:
            self.reasons.update({len(self.rtts) + number: why for number, why in part.reasons.items()})
            self.rtts += part.rtts
            self.times += part.times
            self.refusals += part.refusals
            self.failed += part.failed
            self.failures = {**part.failures, **self.failures}
        self.sent, self.replies = sum(part.sent for part in parts), sum(part.replies for part in parts)
        self.duplicates = sum(part.duplicates for part in parts)
        self.late = sum(part.late for part in parts)
        self.late_longest = max((part.late_longest or 0.0 for part in parts), default=0.0) or None
        self.in_flight = sum(part.in_flight for part in parts)
        self.first_sent = min(part.first_sent for part in parts)
        self.last_sent = max(part.last_sent for part in parts)
        self.last_reply = max(part.last_reply for part in parts)
        self.cut = min(part.cut for part in parts)

    def fastest(self) -> int | None:
        """The number of the address with the smallest round trip, None if nobody answered."""
        if not self.replies:
            return None
        return self.rtts.index(min(self.rtts))

    def blame(self, failure: Failed, count: int = 1) -> None:
        """Notes what the kernel or a router said."""
        self.failed[failure.error.code] += count
        self.failures.setdefault(failure.error.code, failure)

    def commonest(self) -> Failed | None:
        """What was said most often."""
        return self.failures[self.failed.most_common(1)[0][0]] if self.failed else None

    def duration(self, timeout: float) -> float | None:
        """Seconds from the first request to the last reply, or the last timeout if an address was silent."""
        if self.last_sent < self.first_sent:
            return None
        silent = any(rtt == math.inf and number not in self.reasons for number, rtt in enumerate(self.rtts))
        return max(self.last_reply, self.last_sent + (timeout if silent else 0.0)) - self.first_sent

    def refuse(self, number: int, refusal: Refusal) -> None:
        """Notes an ICMP error about an address."""
        self.refusals[refusal.type, refusal.code] += 1
        self.blame(refusal.failure())
        self.reasons.setdefault(number, "unreachable")

    def hosts(self) -> Iterator[Host]:
        """Every address of which something is known, in their order."""
        for number, (rtt, t) in enumerate(zip(self.rtts, self.times, strict=True)):
            if rtt != math.inf:
                yield Host(number, t, rtt, "")
            elif number in self.reasons:
                yield Host(number, t, None, self.reasons[number])
            elif t < self.cut:
                yield Host(number, t, None, "loss")
