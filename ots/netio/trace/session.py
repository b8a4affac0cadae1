"""A trace over one wire or several: which probe leaves when, and what came of each.

What holds:
- A probe leaves when it is due on an absolute schedule: every `interval` seconds a cycle begins, within it
  the hops are spread. An answer or its absence moves nothing; only a full window does (`parallel`).
- At most `parallel` probes are on their way at once, and none goes beyond the destination once it has
  answered, nor beyond a router that refuses.
- Every probe that was sent is settled exactly once: answered, lost or cancelled. It is lost if no answer had
  come within the timeout by the kernel's stamps, however late the event loop got to read them.
- The event loop is not in the measured time: it begins right before the send call and ends with the kernel's
  receive stamp. Where the wall clock was stepped or a stamp contradicts the order of events, the time of
  reading the answer takes its place.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ots.clock import Clock
from ots.netio.icmp.session import send_failure
from ots.netio.stamps import Placement
from ots.netio.trace.wire import Heard, Wire
from ots.probe import Failed, Guard

_SEND_RETRY = 1e-3
_TOLERANCE = 0.010
_NO_ROOM = (errno.ENOBUFS, errno.EAGAIN)


@dataclass(frozen=True, slots=True)
class Plan:
    """`count` cycles, one every `interval` seconds, over the hop limits `first` to `most`. Of several flows
    each cycle takes the next."""

    count: int
    interval: float
    first: int
    most: int
    timeout: float
    parallel: int
    flows: int = 1

    def flow_of(self, cycle: int) -> int:
        return cycle % self.flows

    @property
    def spacing(self) -> float:
        """Seconds from one hop's probe to the next hop's."""
        return self.interval / (self.most - self.first + 1)

    @property
    def duration(self) -> float:
        """Seconds from the first probe to the last."""
        return self.count * self.interval - self.spacing


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one probe. `t` is the send time on the monotonic clock, `sent` and `received` are bytes of
    IP packets. Without `heard` the `reason` is `loss` or `cancelled`."""

    cycle: int
    ttl: int
    t: float
    rtt: float | None
    reason: str | None
    heard: Heard | None
    sent: int
    late: bool = False
    """The answer came after the timeout: the probe counts as lost, but what was said stands."""

    @property
    def final(self) -> bool:
        """Whether no probe goes beyond: the destination answered, or a router refuses."""
        return self.heard is not None and self.heard.meaning != "on the way"


@dataclass(slots=True)
class _Flying:
    cycle: int
    ttl: int
    left: float
    bytes: int


class PathSession:
    """One run over a wire for each flow of the plan; the wires stay the caller's."""

    def __init__(
        self,
        wires: Sequence[Wire],
        plan: Plan,
        clock: Clock,
        settled: Callable[[Settled], None],
        guard: Guard | None = None,
    ) -> None:
        self._wires = wires
        self._guard = guard
        self._plan = plan
        self._clock = clock
        self._tell = settled
        self._placement = Placement(clock)
        self._flying: dict[int, _Flying] = {}
        self._given_up: dict[int, _Flying] = {}
        self._heard = asyncio.Event()
        self._news: deque[Settled] = deque()
        self._ends: dict[int, tuple[int, int]] = {}
        self.slips = 0
        self.unattributed = 0
        self.answers = 0
        self.stamped = 0

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock jumped meanwhile (the stamps it spoilt were not used)."""
        return self._placement.stepped

    @property
    def timestamp_source(self) -> str:
        """`kernel_rx` if the kernel stamped every answer that counts, else `user`."""
        return "kernel_rx" if self.answers and self.stamped == self.answers else "user"

    def end(self, cycle: int) -> int | None:
        """The hop limit beyond which no probe of the cycle's flow goes; None while nobody has said where its
        path ends."""
        known = self._ends.get(self._plan.flow_of(cycle))
        return None if known is None else known[0]

    @property
    def _sockets(self) -> list[socket.socket]:
        return [sock for wire in self._wires for sock in wire.sockets]

    async def run(self) -> None:
        """Runs all cycles and waits for the last answer or timeout. Raises `Failed` if this machine can't
        send. Cancelled, it settles what is on its way as `cancelled`."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.add_reader(sock, self._read)
        try:
            await self._send_all()
            while self._flying:
                await self._wait(self._next_expiry())
                self._expire()
        finally:
            for sock in self._sockets:
                loop.remove_reader(sock)
            self._read()
            for number in list(self._flying):
                self._settle(number, None, "cancelled", None)
            self._deliver()

    def _deliver(self) -> None:
        """Tells all news, to the last even if the first is one too many: the caller may raise `Failed`."""
        trouble: Failed | None = None
        while self._news:
            try:
                self._tell(self._news.popleft())
            except Failed as failure:
                trouble = trouble or failure
        if trouble is not None:
            raise trouble

    async def _send_all(self) -> None:
        plan = self._plan
        start = self._clock.monotonic()
        number = 0
        for cycle in range(plan.count):
            for place, ttl in enumerate(range(plan.first, plan.most + 1)):
                if self._beyond(cycle, ttl):
                    break
                due = start + cycle * plan.interval + place * plan.spacing
                await self._until(due)
                await self._window()
                if self._beyond(cycle, ttl):
                    break
                behind = self._clock.monotonic() - due
                self.slips += behind > max(_TOLERANCE, plan.spacing / 2)
                if behind > plan.interval:
                    start += behind
                await self._send(number, cycle, ttl)
                number += 1

    def _beyond(self, cycle: int, ttl: int) -> bool:
        end = self.end(cycle)
        return end is not None and ttl > end

    async def _until(self, due: float) -> None:
        while self._clock.monotonic() < due:
            await self._wait(due)
        self._expire()

    async def _window(self) -> None:
        """Waits until a further probe may be on its way."""
        while len(self._flying) >= self._plan.parallel:
            await self._wait(self._next_expiry())
            self._expire()

    async def _wait(self, until: float) -> None:
        """Until something is heard, at most until then; tells what was."""
        self._deliver()
        self._heard.clear()
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the news.
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self._clock.monotonic())):
                await self._heard.wait()
        self._deliver()

    def _next_expiry(self) -> float:
        return min(probe.left for probe in self._flying.values()) + self._plan.timeout

    async def _send(self, number: int, cycle: int, ttl: int) -> None:
        begun = self._clock.monotonic()
        while True:
            if self._guard is not None and not self._guard.room(self._wires[0].destination):
                await asyncio.sleep(_SEND_RETRY)
                continue
            left = self._clock.monotonic()
            try:
                size = self._wires[self._plan.flow_of(cycle)].send(number, ttl)
                break
            except OSError as error:
                if error.errno not in _NO_ROOM or left - begun > self._plan.timeout:
                    raise send_failure(error) from None
            await asyncio.sleep(_SEND_RETRY)
        self._flying[number] = _Flying(cycle, ttl, left, size)

    def _read(self) -> None:
        """Takes the answers that wait."""
        self._placement.renew()
        for wire in self._wires:
            for heard in wire.hear():
                self._take(heard, self._clock.monotonic())

    def _take(self, heard: Heard, seen: float) -> None:
        number = heard.number
        if number is None:
            # Too little was quoted to say which probe it was. With one on its way there is no doubt.
            if len(self._flying) != 1:
                self.unattributed += 1
                return
            number = next(iter(self._flying))
        probe = self._flying.get(number) or self._given_up.pop(number, None)
        if probe is None or heard.meaning == "too big":
            return
        arrived = self._placement.place(heard.stamp, probe.left, seen)
        rtt = max(0.0, (seen if arrived is None else arrived) - probe.left)
        if number not in self._flying:
            self._news.append(_settled(probe, None, "loss", heard, late=True))
            return
        if rtt > self._plan.timeout:
            self._settle(number, None, "loss", None)
            self._given_up.pop(number, None)
            self._news.append(_settled(probe, None, "loss", heard, late=True))
            return
        self.answers += 1
        self.stamped += arrived is not None
        self._learn(probe, heard)
        self._settle(number, rtt, None, heard)

    def _learn(self, probe: _Flying, heard: Heard) -> None:
        """Where the path ends. A router that passes a probe on at that hop or behind it, in a later cycle or
        the same, shows that the path has become longer."""
        flow = self._plan.flow_of(probe.cycle)
        end = self._ends.get(flow)
        if heard.meaning == "on the way":
            if end is not None and probe.ttl >= end[0] and probe.cycle > end[1]:
                del self._ends[flow]
        elif end is None or probe.ttl <= end[0]:
            self._ends[flow] = (probe.ttl, probe.cycle)

    def _expire(self) -> None:
        """Gives up what had not come when the sockets were last read empty."""
        looked = self._clock.monotonic()
        self._read()
        for number, probe in list(self._flying.items()):
            if probe.left + self._plan.timeout < looked:
                self._settle(number, None, "loss", None)

    def _settle(self, number: int, rtt: float | None, reason: str | None, heard: Heard | None) -> None:
        probe = self._flying.pop(number)
        if heard is None:
            self._given_up[number] = probe
        self._heard.set()
        self._news.append(_settled(probe, rtt, reason, heard))


def _settled(
    probe: _Flying, rtt: float | None, reason: str | None, heard: Heard | None, *, late: bool = False
) -> Settled:
    return Settled(probe.cycle, probe.ttl, probe.left, rtt, reason, heard, 0 if late else probe.bytes, late)
