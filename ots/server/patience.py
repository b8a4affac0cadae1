"""How long a client may take: to begin, to send, and to fetch its answers. Who takes longer is cut off.

aiohttp ends connections on which no whole header comes, `take_body` ends bodies that drip, `open_door` limits
TLS handshakes, and a `Visitor` ends connections on which nobody fetches the answers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass

from aiohttp import web

from ots.server.listening import BACKLOG


@dataclass(frozen=True, slots=True)
class Patience:
    """`silence`: seconds for a handshake, for a header, and between requests. What is larger, a body or an
    answer, has those seconds and one more for every `slowest` bytes.
    """

    silence: float = 20.0
    slowest: int = 8_000


USUAL = Patience()


class Visitor(asyncio.Protocol):
    """One connection, on which everything goes to aiohttp's `handler`, or to whom it was handed over; cut
    off when answers pile up."""

    def __init__(self, handler: web.RequestHandler, patience: Patience) -> None:
        self._handler: asyncio.Protocol = handler
        self._patience = patience
        self._transport: asyncio.Transport | None = None
        self._look: asyncio.TimerHandle | None = None
        self._piled = 0
        self.data_received = handler.data_received  # type: ignore[method-assign]
        self.eof_received = handler.eof_received  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # So that every byte that was not taken at once is told of, and the end of it as well.
        transport.set_write_buffer_limits(high=0)
        self._handler.connection_made(transport)

    def hand_over(self, to: asyncio.Protocol, answer: bytes) -> None:
        """Answers the present request and gives the connection away; for aiohttp the client has left.

        To be called on an open connection by the handler of a request after which the client sends nothing
        until it is answered, as it is with an upgrade (RFC 6455 section 4.1).
        """
        assert isinstance(self._handler, web.RequestHandler) and self._transport is not None
        self._transport.write(answer)
        self._handler.transport = None  # aiohttp would close it
        self._handler.connection_lost(None)
        self._handler = to
        self.data_received = to.data_received  # type: ignore[method-assign]
        self.eof_received = to.eof_received  # type: ignore[method-assign]
        to.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._watch(self._transport)
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._rest()
        self._handler.resume_writing()

    def _watch(self, transport: asyncio.Transport) -> None:
        self._piled = transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._look = loop.call_later(self._patience.silence, self._judge, transport)

    def _judge(self, transport: asyncio.Transport) -> None:
        fetched = self._piled - transport.get_write_buffer_size()
        if fetched < self._patience.silence * self._patience.slowest:
            # Else the kernel would go on offering what it holds.
            at_once = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            transport.abort()
        else:
            self._watch(transport)

    def _rest(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None


def visitor_of(request: web.Request) -> Visitor | None:
    """Whose request it is; None if the connection is closed. Raises TypeError without an `open_door`."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return None
    visitor = transport.get_protocol()
    if not isinstance(visitor, Visitor):
        raise TypeError("this connection did not come through open_door")
    return visitor


async def open_door(
    server: web.Server, listener: socket.socket, context: ssl.SSLContext | None, patience: Patience
) -> asyncio.Server:
    """Serves what comes to a listening socket, over TLS if there is a context."""
    seconds = None if context is None else patience.silence
    return await asyncio.get_running_loop().create_server(
        lambda: Visitor(server(), patience),
        sock=listener,
        backlog=BACKLOG,
        ssl=context,
        ssl_handshake_timeout=seconds,
        ssl_shutdown_timeout=seconds,
    )
