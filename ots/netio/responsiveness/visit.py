"""One foreign probe: a new connection to the server, timed part by part."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass

from ots.netio.errors import classify
from ots.netio.ready import readable
from ots.netio.stream import send
from ots.netio.tcpinfo import tcp_info
from ots.probe import Address, Context, Failed, Route

_STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_LIMIT = 64 << 10


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked, and how it is reached."""

    address: Address
    port: int
    host: str
    server_name: str
    path: str
    route: Route
    context: ssl.SSLContext | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Trip:
    """Seconds of one foreign probe: `tls` is divided by its round trips, None without TLS."""

    t: float
    tcp: float
    tls: float | None
    http: float


async def visit(ctx: Context, place: Place) -> Trip:
    """Connects, shakes hands, asks for the small object and reads it whole. `Failed` if that doesn't work.

    The handshake's time is the kernel's own (TCP_INFO right after it); where the SYN had to be sent again,
    which the kernel leaves out, it is the time that passed.
    """
    clock = ctx.clock
    start = clock.monotonic()
    sock: socket.socket = await ctx.net.dial(place.address, place.port, place.route, timeout=place.timeout)
    waited = clock.monotonic() - start
    try:
        info = tcp_info(sock)
        tcp = waited if info is None or info.retransmits else min(waited, info.rtt)
        tls = None
        if place.context is not None:
            stream = await ctx.net.tls(sock, place.server_name, place.context, timeout=place.timeout)
            sock = stream.socket
            tls = stream.seconds / (1 if stream.version == "TLSv1.3" else 2)
        http = await _ask(ctx, sock, place)
    finally:
        sock.close()
    return Trip(start, tcp, tls, http)


async def _ask(ctx: Context, sock: socket.socket, place: Place) -> float:
    """Seconds from the request to the end of its answer."""
    clock = ctx.clock
    request = (
        f"GET {place.path} HTTP/1.1\r\nHost: {place.host}\r\nUser-Agent: ots\r\nAccept: */*\r\n"
        "Accept-Encoding: identity\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode()
    began = clock.monotonic()
    until, data, stamp = began + place.timeout, b"", began
    try:
        await send(sock, request, clock, until)
        while not _whole(data):
            try:
                piece = sock.recv(16 << 10)
            except (BlockingIOError, ssl.SSLWantReadError):
                stamp = await readable(sock, clock, until)
                continue
            if not piece:
                break
            data += piece
            if len(data) > _LIMIT:
                raise Failed("content", "transfer", "TOO_LONG", f"the small object exceeds {_LIMIT} bytes")
    except TimeoutError:
        raise Failed("timeout", "first_byte", "TIMEOUT", "no answer in time") from None
    except OSError as error:
        raise classify(error, "first_byte") from None
    found = _STATUS.match(data)
    if found is None:
        raise Failed("protocol", "first_byte", "BAD_STATUS", "what answers is no HTTP/1.1 server")
    if not 200 <= int(found[1]) < 300:
        status = found[1].decode()
        raise Failed("rejected", "first_byte", status, f"the server answered {status}")
    return (clock.monotonic() if stamp == began else stamp) - began


def _whole(data: bytes) -> bool:
    """Whether the answer is complete by its length; without one its connection's end says so."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    found = _LENGTH.search(head + b"\r\n")
    return found is not None and len(body) >= int(found[1])
