"""The system's network as a probe sees it: the phases of `ots.probe.Net`, each marked where it begins."""

from __future__ import annotations

import socket
import ssl

from ots.clock import Clock
from ots.netio.binding import bind_route, socket_family
from ots.netio.dial import dial, open_socket
from ots.netio.marks import Mark
from ots.netio.resolve import resolve
from ots.netio.tls import shake_hands
from ots.probe import Address, Route, TLSStream


class SystemNet:
    """Implements `ots.probe.Net` on the system's sockets and resolver."""

    def __init__(self, clock: Clock, mark: Mark) -> None:
        self._clock = clock
        self._mark = mark

    async def resolve(self, host: str, route: Route, *, timeout: float) -> Address:
        return await resolve(host, route, self._clock, self._mark, timeout)

    async def dial(self, address: Address, port: int, route: Route, *, timeout: float) -> socket.socket:
        return await dial(address, port, route, self._clock, self._mark, timeout)

    async def tls(
        self,
        connection: socket.socket,
        server_name: str,
        context: ssl.SSLContext,
        *,
        timeout: float,
        session: ssl.SSLSession | None = None,
    ) -> TLSStream:
        return await shake_hands(
            connection, server_name, context, self._clock, self._mark, timeout, session=session
        )

    def udp(self, address: Address, route: Route) -> socket.socket:
        return open_socket(socket_family(address), socket.SOCK_DGRAM, route)

    def bind(self, sock: socket.socket, route: Route) -> None:
        bind_route(sock, route)
