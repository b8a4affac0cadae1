"""A UDP relay that loses, copies and delays the echoes of one client, each as told, and keeps books."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from ots.netio.udp_echo import wire


@dataclass
class Way:
    """What happens to the echoes of one direction, by their sequence number, and what did."""

    lose: Callable[[int], bool] = lambda sequence: False
    copy: Callable[[int], bool] = lambda sequence: False
    delay: Callable[[int], float] = lambda sequence: 0.0
    lost: list[int] = field(default_factory=list)
    copied: list[int] = field(default_factory=list)
    control: bool = True
    """Whether what is no echo passes."""


@dataclass
class Relay:
    port: int
    up: Way
    down: Way


class _End(asyncio.DatagramProtocol):
    def __init__(self, relay: _Books, upward: bool) -> None:
        self.relay, self.upward = relay, upward

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.relay.pass_on(data, addr, self.upward)


class _Books:
    def __init__(self, up: Way, down: Way) -> None:
        self.up, self.down = up, down
        self.client: tuple[str, int] | None = None
        self.near: asyncio.DatagramTransport | None = None
        self.far: asyncio.DatagramTransport | None = None

    def pass_on(self, data: bytes, addr: tuple[str, int], upward: bool) -> None:
        way = self.up if upward else self.down
        if upward:
            self.client = addr
        packet = wire.read(data, None)
        if packet.type not in (wire.Type.ECHO, wire.Type.REPLY):
            if way.control:
                self.send(data, upward)
            return
        sequence = wire.Echo.of(packet.body).sequence
        if way.lose(sequence):
            way.lost.append(sequence)
            return
        copies = 2 if way.copy(sequence) else 1
        way.copied += [sequence] * (copies - 1)
        for _ in range(copies):
            delay = way.delay(sequence)
            if delay:
                asyncio.get_running_loop().call_later(delay, self.send, data, upward)
            else:
                self.send(data, upward)

    def send(self, data: bytes, upward: bool) -> None:
        assert self.near is not None and self.far is not None
        if upward and not self.far.is_closing():
            self.far.sendto(data)
        elif self.client is not None and not self.near.is_closing():
            self.near.sendto(data, self.client)


@contextlib.asynccontextmanager
async def relay(port: int, up: Way | None = None, down: Way | None = None) -> AsyncIterator[Relay]:
    """A relay to a responder on 127.0.0.1."""
    books = _Books(up or Way(), down or Way())
    loop = asyncio.get_running_loop()
    books.near, _ = await loop.create_datagram_endpoint(
        lambda: _End(books, True), local_addr=("127.0.0.1", 0)
    )
    books.far, _ = await loop.create_datagram_endpoint(
        lambda: _End(books, False), remote_addr=("127.0.0.1", port)
    )
    try:
        yield Relay(books.near.get_extra_info("sockname")[1], books.up, books.down)
    finally:
        books.near.close()
        books.far.close()
