"""Accepts connections one by one, counts them, and turns those away that are too many.

Counted from the moment of acceptance: a client that never finishes its TLS handshake takes a place as well.
One connection is taken at a time, so that several workers on one listening socket share what comes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from ots.server.peers.doorway import Doorway
from ots.server.peers.guests import Guests, client_key
from ots.server.peers.limits import Limits

_OUT_OF_MEANS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 0.5


class Reception:
    """Stands at one listening socket, which it doesn't close. Not started until `open()`."""

    def __init__(
        self,
        listener: socket.socket,
        server: web.Server,
        limits: Limits,
        guests: Guests,
        *,
        worker: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listener = listener
        self._server = server
        self._limits = limits
        self._guests = guests
        self._worker = worker
        self._tls = tls
        self._here = 0
        self._closed = False
        self._arriving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def close(self) -> None:
        """Takes no more; connections that have come stay with aiohttp's server."""
        self._closed = True
        self._loop.remove_reader(self._listener.fileno())
        for task in self._arriving:
            task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_MEANS:
                # Others will leave; until then asking again and again would only burn what is left.
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_PAUSE, self._again)
            return
        client = client_key(address[0])
        if (
            self._here >= self._limits.connections
            or self._guests.of(client) >= self._limits.connections_per_client
        ):
            connection.close()
            return
        connection.setblocking(False)
        self._here += 1
        self._guests.came(self._worker, client)
        task = self._loop.create_task(self._receive(connection, self._once(client)))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    async def _receive(self, connection: socket.socket, left: Callable[[], None]) -> None:
        secure = self._tls is not None
        try:
            await self._loop.connect_accepted_socket(
                lambda: Doorway(self._server, left),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.header_seconds if secure else None,
                ssl_shutdown_timeout=self._limits.header_seconds if secure else None,
            )
        except (OSError, asyncio.CancelledError):
            # No handshake, or none in time: whoever it was is no client.
            connection.close()
            left()

    def _once(self, client: bytes) -> Callable[[], None]:
        gone = False

        def left() -> None:
            nonlocal gone
            if not gone:
                gone = True
                self._here -= 1
                self._guests.left(self._worker, client)

        return left
