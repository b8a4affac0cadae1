"""The system's network as a probe sees it: the phases of `ots.probe.Net`, each marked where it begins."""

from __future__ import annotations

import socket
import ssl

from ots.clock import Clock
from ots.netio.binding import bind_route, socket_family
from ots.netio.dial import dial, open_socket
from ots.netio.marks import Mark
from ots.netio.resolve import resolve, resolve_all
from ots.netio.tls import shake_hands
from ots.probe import Address, Guard, Route, TLSStream


class SystemNet:
    """Implements `ots.probe.Net` on the system's sockets and resolver.

    With a guard all addresses of a name must be permitted, and what is dialled is asked for again: nobody can
    give a good address first and another one later.
    """

    def __init__(self, clock: Clock, mark: Mark, guard: Guard | None = None) -> None:
        self.guard = guard
        self._clock = clock
        self._mark = mark

    async def resolve(self, host: str, route: Route, *, timeout: float) -> Address:
        if self.guard is None:
            return await resolve(host, route, self._clock, self._mark, timeout)
        found = await resolve_all(host, route, self._clock, self._mark, timeout)
        for address in found:
            self.guard.permit(address)
        return found[0]

    async def dial(self, address: Address, port: int, route: Route, *, timeout: float) -> socket.socket:
        if self.guard is None:
            return await dial(address, port, route, self._clock, self._mark, timeout)
        self.guard.permit(address, port)
        self.guard.send(address)
        sock = await dial(address, port, route, self._clock, self._mark, timeout)
        self.guard.opened(sock)
        return sock

    async def tls(
        self,
        connection: socket.socket,
        server_name: str,
        context: ssl.SSLContext,
        *,
        timeout: float,
        session: ssl.SSLSession | None = None,
    ) -> TLSStream:
        stream = await shake_hands(
            connection, server_name, context, self._clock, self._mark, timeout, session=session
        )
        if self.guard is not None:
            self.guard.opened(stream.socket)
        return stream

    def udp(self, address: Address, route: Route, port: int | None = None) -> socket.socket:
        if self.guard is not None:
            self.guard.permit(address, port)
        return open_socket(socket_family(address), socket.SOCK_DGRAM, route)

    def bind(self, sock: socket.socket, route: Route) -> None:
        bind_route(sock, route)
