"""The data connection: passive (EPSV, PASV) or active (EPRT, PORT), plain or TLS.

The address is always the one of the control connection. A server that names another is not followed: it could
send us anywhere (RFC 2577 section 3), and behind NAT it names one that can't be reached.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Literal

import aioftp

from ots.netio.binding import socket_family
from ots.netio.errors import classify
from ots.netio.ftp.control import NOT_IMPLEMENTED, Control
from ots.netio.ready import readable
from ots.probe import Context, Failed, Route

Mode = Literal["auto", "epsv", "pasv", "active"]

_PASV = re.compile(r"\d{1,3}(?:,\d{1,3}){5}")


@dataclass(slots=True)
class Opened:
    """An open data connection: instants before the SYN and after the handshake (passive: of the dialling)."""

    socket: socket.socket
    asked: float
    connect_start: float
    connected: float
    mode: str

    @property
    def seconds(self) -> float:
        """From the server's answer to the data handshake's end."""
        return self.connected - self.connect_start


class DataChannel:
    """Opens data connections beside one control connection."""

    def __init__(self, ctx: Context, control: Control, mode: Mode, route: Route, timeout: float) -> None:
        self._ctx = ctx
        self._control = control
        self._mode = mode
        self._route = route
        self._timeout = timeout
        self._listener: socket.socket | None = None
        self.mode = mode
        """What was used in the end."""

    async def transfer(self, command: str, *, offset: int = 0) -> Opened:
        """Opens a data connection and starts a transfer on it: `RETR path`, `STOR path`.

        The server has said 150 or 125 when this returns. `Failed` otherwise, and nothing stays open.
        """
        opened: Opened | None = None
        try:
            if self._mode == "active":
                await self._listen()
            else:
                opened = await self._passive()
            if offset:
                await self._control.ask(f"REST {offset}", "350", "request")
            asked = self._ctx.clock.monotonic()
            await self._control.ask(command, "1xx", "request")
            if opened is None:
                opened = await self._accept(asked)
            opened.asked = asked
            if self._control.tls is not None:
                opened.socket = await self._protect(opened.socket, self._control.tls)
            return opened
        except BaseException:
            if opened is not None:
                opened.socket.close()
            raise
        finally:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    async def _passive(self) -> Opened:
        port = await self._passive_port()
        start = self._ctx.clock.monotonic()
        sock = await self._ctx.net.dial(self._control.address, port, self._route, timeout=self._timeout)
        return Opened(sock, start, start, self._ctx.clock.monotonic(), self.mode)

    async def _passive_port(self) -> int:
        """EPSV first, for it also passes NAT and IPv6; PASV where the server does not know it."""
        if self._mode in ("auto", "epsv"):
            try:
                _, lines = await self._control.ask("EPSV", "229", "request")
            except Failed as failure:
                may_ask_again = self._mode == "auto" and self._control.address.family == "4"
                if not may_ask_again or failure.error.code not in NOT_IMPLEMENTED:
                    raise
                self._mode = "pasv"
            else:
                self.mode = "epsv"
                return _epsv_port(lines[-1])
        _, lines = await self._control.ask("PASV", "227", "request")
        self.mode = "pasv"
        found = _PASV.search(lines[-1])
        if found is None:
            return _checked(0, lines[-1])
        numbers = [int(number) for number in found[0].split(",")]
        named = ".".join(str(number) for number in numbers[:4])
        if named != self._control.address.ip:
            self._ctx.log.info(f"PASV names {named}; the data connection goes to {self._control.address.ip}")
            self._ctx.method(pasv_address_ignored=True)
        return _checked(numbers[4] * 256 + numbers[5], lines[-1])

    async def _listen(self) -> None:
        """Listens where the control connection comes from, and tells the server."""
        local = self._control.socket.getsockname()[0]
        listener = socket.socket(socket_family(self._control.address), socket.SOCK_STREAM)
        self._listener = listener
        try:
            listener.setblocking(False)
            self._ctx.net.bind(listener, Route(interface=self._route.interface))
            listener.bind((local, 0))
            listener.listen(1)
        except OSError as error:
            raise classify(error, "connect") from None
        port = listener.getsockname()[1]
        self.mode = "active"
        if self._control.address.family == "6":
            await self._control.ask(f"EPRT |2|{local.partition('%')[0]}|{port}|", "2xx", "request")
        else:
            place = local.replace(".", ",")
            await self._control.ask(f"PORT {place},{port >> 8},{port & 255}", "2xx", "request")

    async def _accept(self, start: float) -> Opened:
        """The server's call; calls from elsewhere are hung up on (RFC 2577 section 5)."""
        assert self._listener is not None
        until = start + self._timeout
        while True:
            try:
                connected = await readable(self._listener, self._ctx.clock, until)
                sock, caller = self._listener.accept()
            except BlockingIOError:
                continue
            except TimeoutError:
                raise Failed(
                    "timeout",
                    "connect",
                    "NO_DATA_CONNECTION",
                    f"the server did not open the data connection within {self._timeout:g} s",
                    retryable=True,
                ) from None
            except OSError as error:
                raise classify(error, "connect") from None
            if caller[0] == self._control.address.ip:
                sock.setblocking(False)
                return Opened(sock, start, start, connected, "active")
            sock.close()

    async def _protect(self, sock: socket.socket, context: ssl.SSLContext) -> socket.socket:
        stream = await self._ctx.net.tls(
            sock,
            self._control.server_name,
            context,
            timeout=self._timeout,
            session=self._control.session,
        )
        self._ctx.method(data_tls_resumed=stream.facts.get("resumed"))
        return stream.socket


def _epsv_port(line: str) -> int:
    """The port in `Entering Extended Passive Mode (|||6446|)` (RFC 2428 section 3)."""
    try:
        return _checked(aioftp.Client.parse_epsv_response(line)[1], line)
    except (ValueError, IndexError):
        return _checked(0, line)


def _checked(port: int, line: str) -> int:
    if not 0 < port < 65536:
        raise Failed("protocol", "request", "BAD_PORT", f"no usable port in: {line.strip()}")
    return port


def abort(sock: socket.socket) -> None:
    """Ends a data connection at once: what the kernel still holds is not sent after the measurement."""
    if sock.fileno() < 0:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
