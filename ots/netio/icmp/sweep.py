"""A sweep: every address of some networks is asked so many times, at no more than a given rate.

Sending is what a fast sweep spends its time with, inside the kernel. So a large one is cut into shards, each
a thread (`shard`) with sockets of its own, one for each core. A shard takes a part of every network and every
so many-th place of the schedule: all together keep to the rate.

Memory: some forty bytes for each address, and nine for each request that can still be answered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ots.clock import Clock
from ots.netio.icmp.shard import Shard, Sockets, Tick
from ots.netio.icmp.swept import Swept
from ots.netio.worker import side_by_side

_ENOUGH_REQUESTS, _ENOUGH_RATE = 16_000, 50_000
"""From how many requests in all, and how many a second, several threads are worth their start."""
_MOST = 4


def shards(requests: int, rate: float) -> int:
    """How many sets of sockets a sweep of so many packets, so many a second, makes use of."""
    if requests < _ENOUGH_REQUESTS or rate < _ENOUGH_RATE:
        return 1
    return min(_MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


class Sweep:
    """One run over networks. `run` fills their `Swept`; the sockets, one set a shard, stay the caller's."""

    def __init__(
        self,
        networks: Sequence[Swept],
        sockets: Sequence[Sockets],
        *,
        size: int,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._networks = networks
        self._parts = [_share(networks, number, len(sockets)) for number in range(len(sockets))]
        self._shards = [
            Shard(part, each, size=size, timeout=timeout, clock=clock)
            for part, each in zip(self._parts, sockets, strict=True)
        ]

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock jumped meanwhile (the stamps it spoilt were not used)."""
        return any(shard.clock_stepped for shard in self._shards)

    @property
    def timestamp_source(self) -> str:
        """`kernel_rx`, or `user` if some reply had no usable stamp."""
        received = sum(shard.ledger.received for shard in self._shards)
        unstamped = sum(shard.ledger.unstamped for shard in self._shards)
        return "user" if unstamped or not received else "kernel_rx"

    @property
    def largest_batch(self) -> int:
        """Packets that one call sent."""
        return max(shard.ledger.largest_batch for shard in self._shards)

    @property
    def spread(self) -> float:
        """Seconds that the longest call took which sent several: the error of a time of sending at most."""
        return max(shard.ledger.spread for shard in self._shards)

    async def run(self, tick: Tick) -> None:
        """Runs to the last reply or timeout; cancelled, what is on its way stays undecided."""
        try:
            await side_by_side([shard.run(tick) for shard in self._shards])
        finally:
            for number, network in enumerate(self._networks):
                network.join([part[number] for part in self._parts])


def _share(networks: Sequence[Swept], number: int, of: int) -> list[Swept]:
    """The `number`-th of `of` shares: a part of each network, one after the other."""
    share: list[Swept] = []
    asked = 0
    for network in networks:
        stream = network.stream
        share.append(
            network.part(number, of, networks[0].stream.start + (asked * of + number) * stream.spacing)
        )
        asked += share[-1].stream.size
    return share
