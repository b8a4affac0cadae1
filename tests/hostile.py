"""Servers on loopback that misbehave: they drop, reset, lie and stay silent, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import trustme

Reply = Callable[[bytes], Sequence[bytes]]
"""From a datagram to the datagrams that answer it."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)
        for answer in self._reply(data):
            self._transport.sendto(answer, addr)  # type: ignore[attr-defined]  # 3.11 has no common base


@contextlib.asynccontextmanager
async def datagrams(reply: Reply, port: int = 0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A UDP server: its `host:port`, and the datagrams that it got."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Datagrams(reply), local_addr=("127.0.0.1", port)
    )
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", protocol.received
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def stream(talk: Talk, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a TCP or TLS server that `talk`s on each connection; all of them are closed at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, EOFError, ssl.SSLError, asyncio.CancelledError):
            # Only the end of the server cancels; Python 3.11's streams would report that as an error.
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and never says a word."""
    await asyncio.Event().wait()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the first bytes and answers with a reset."""
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the first bytes and closes in good order."""
    await reader.read(65536)


async def talk_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers TLS with plain text."""
    await reader.read(1)
    writer.write(b"220 mail.ots.test ESMTP ready\r\n")
    await writer.drain()


@dataclass
class DeafPort:
    """A TCP port that drops every SYN: its queue of one is full and nobody accepts."""

    number: int
    listener: socket.socket

    def hear(self) -> None:
        """From now on accepts connections, and closes each at once."""
        self.listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self.listener, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.listener.accept()[0].close()


@contextlib.contextmanager
def deaf_port() -> Iterator[DeafPort]:
    """Deaf for as long as nobody calls `hear`, which needs a running event loop."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield DeafPort(port, listener)
        if not listener.getblocking():
            asyncio.get_running_loop().remove_reader(listener)


@contextlib.asynccontextmanager
async def distant(port: int, delay: float) -> AsyncIterator[int]:
    """A port that leads to another port of 127.0.0.1, every chunk `delay` seconds later each way."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(delay, writer.write, data)
        loop.call_later(delay, writer.close)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
        finally:
            far_writer.close()

    async with stream(relay) as near:
        yield near


def server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A TLS server's context with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context
