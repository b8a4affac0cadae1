"""The path MTU: the largest packet that arrives without being cut up (RFC 1191, RFC 8201, RFC 8899).

Routers' messages are hints and no more: a size counts if the destination answered a packet of it, and is the
largest if it failed to answer one that is a byte longer. So a forged message can't make the result wrong, and
a black hole, where no router says a word, only makes the search longer.

A destination that answers by ICMP errors (to UDP) does so once a second only (Linux); asked more often, its
silence would be taken for a narrow path. So there a packet leaves every 1.1 s.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from ots.clock import Clock
from ots.netio.icmp.session import send_failure
from ots.netio.trace.wire import Heard, SizedWire, Wire
from ots.probe import Guard

LEAST = {"4": 68, "6": 1280}
"""The MTU that every link has (RFC 791, RFC 8200)."""

_MOST = {"4": 65_535, "6": 65_535}
_TRIES = 3
_TTL = 64
_SHORTEST_WAIT = 0.1
_PACE = 1.1
_ROOM_RETRY = 0.02


@dataclass(frozen=True, slots=True)
class PathMTU:
    """What was found. `told_by` is the router that named this very size, `silent` whether packets vanished
    without a word on the way there (a black hole). `value` is None if nothing arrived at all."""

    value: int | None
    told_by: str | None
    silent: bool
    sent: int
    received: int


class Search:
    """Which size to try next. Pure."""

    def __init__(self, least: int, most: int) -> None:
        self._works = least - 1
        self._fails = most + 1
        self._hint: int | None = most
        self._named: int | None = None
        self._least = least

    @property
    def found(self) -> int | None:
        return self._works if self._works >= self._least else None

    def next(self) -> int | None:
        """The size to try, None when it is known."""
        if self._fails - self._works <= 1:
            return None
        if self._hint is not None:
            hint, self._hint = self._hint, None
            if self._works < hint < self._fails:
                return hint
        return (self._works + self._fails) // 2

    def arrived(self, size: int) -> None:
        """The destination answered a packet of this size."""
        self._works = max(self._works, size)
        if size == self._named:
            # What a router named is the largest if one byte more fails.
            self._hint = size + 1

    def failed(self, size: int, hint: int = 0) -> None:
        """A packet of this size did not arrive; `hint` is the MTU that a router named, 0 for none."""
        self._fails = min(self._fails, size)
        self._named = self._hint = hint if self._least <= hint < size else None


async def find_path_mtu(
    wire: SizedWire,
    most: int,
    wait: float,
    clock: Clock,
    first_number: int,
    guard: Guard | None = None,
) -> PathMTU:
    """Searches up to `most` bytes over a wire that forbids fragments from then on.

    Nothing is found if not even the smallest packet is answered.
    Each size is tried three times, `wait` seconds each, before silence counts. Probes get the numbers from
    `first_number` on. Raises `Failed` if this machine can't send.
    """
    wire.forbid_fragments()
    least = LEAST[wire.destination.family]
    prober = _Prober(wire, max(wait, _SHORTEST_WAIT), clock, first_number, guard)
    search = Search(least, min(most, _MOST[wire.destination.family]))
    told: dict[int, str] = {}
    silent = False
    with prober:
        first = await prober.ask(least)
        if first is None or first.meaning != "reply":
            return PathMTU(None, None, False, prober.sent, prober.received)
        search.arrived(least)
        while (size := search.next()) is not None:
            heard = await prober.ask(size)
            if heard is not None and heard.meaning == "reply":
                search.arrived(size)
            elif heard is not None and heard.meaning == "too big":
                told.setdefault(heard.mtu, heard.address)
                search.failed(size, heard.mtu)
            else:
                silent |= heard is None and not prober.refused_here
                search.failed(size)
    found = search.found
    return PathMTU(found, told.get(found or 0), silent and found is not None, prober.sent, prober.received)


def interface_mtu(source: str) -> int | None:
    """The MTU of the interface that has this address, None if the system does not tell."""
    statistics = psutil.net_if_stats()
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == source for entry in addresses) and name in statistics:
            return statistics[name].mtu
    return None


class _Prober:
    """One packet after the other, each until it is answered or given up."""

    def __init__(self, wire: Wire, wait: float, clock: Clock, number: int, guard: Guard | None) -> None:
        self._guard = guard
        self._wire = wire
        self._wait = wait
        self._clock = clock
        self._number = number
        self._due = clock.monotonic()
        self._heard = asyncio.Event()
        self._news: list[Heard] = []
        self.sent = 0
        self.received = 0
        self.refused_here = False

    def __enter__(self) -> _Prober:
        for sock in self._wire.sockets:
            asyncio.get_running_loop().add_reader(sock, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._wire.sockets:
            asyncio.get_running_loop().remove_reader(sock)

    async def ask(self, size: int) -> Heard | None:
        """What is said to a packet of this size; None if nothing is, or if it does not fit this machine."""
        self.refused_here = False
        for _ in range(_TRIES):
            self._number = (self._number + 1) & 0xFFFF
            await asyncio.sleep(max(0.0, self._due - self._clock.monotonic()))
            await self._room()
            if self._wire.protocol == "udp":
                self._due = self._clock.monotonic() + _PACE
            try:
                self.sent += self._wire.send(self._number, _TTL, size)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise send_failure(error) from None
                self.refused_here = True
                return None
            heard = await self._answer(self._number)
            if heard is not None:
                return heard
        return None

    async def _room(self) -> None:
        """Until the run may send another packet."""
        guard = self._guard
        while guard is not None:
            if guard.room(self._wire.destination):
                return
            await asyncio.sleep(_ROOM_RETRY)

    async def _answer(self, number: int) -> Heard | None:
        until = self._clock.monotonic() + self._wait
        while True:
            self._heard.clear()
            found = self._telling(number, self._news)
            self._news.clear()
            left = until - self._clock.monotonic()
            if found is not None or left <= 0:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._heard.wait()

    def _telling(self, number: int, news: Iterable[Heard]) -> Heard | None:
        """The answer to the probe sent last; the only one on its way, so one without a number is to it."""
        return next((heard for heard in news if heard.number in (number, None)), None)

    def _read(self) -> None:
        for heard in self._wire.hear():
            self.received += heard.size
            self._news.append(heard)
            self._heard.set()
