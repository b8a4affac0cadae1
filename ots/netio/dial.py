"""One TCP connection to one address: no second address, no second try, no happy eyeballs."""

from __future__ import annotations

import errno
import os
import socket
from typing import Literal

from ots.clock import Clock
from ots.netio.binding import bind_route, socket_family
from ots.netio.errors import TIMER, classify
from ots.netio.marks import Mark
from ots.netio.ready import writable
from ots.netio.tcpinfo import tcp_info
from ots.probe import Address, Failed, Route


class DialFailed(Failed):
    """A connection that did not come about.

    `syn_retransmits` counts the SYNs sent again until then; None where the system doesn't tell.
    """

    syn_retransmits: int | None = None


def open_socket(af: socket.AddressFamily, kind: socket.SocketKind, route: Route) -> socket.socket:
    """A non-blocking socket bound as the route says.

    `Failed` with phase `config` where it can't be bound, with `connect` if the system has no socket to give.
    """
    try:
        sock = socket.socket(af, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise classify(error, "connect") from None
    try:
        bind_route(sock, route)
    except BaseException:
        sock.close()
        raise
    return sock


async def dial(
    address: Address, port: int, route: Route, clock: Clock, mark: Mark, timeout: float
) -> socket.socket:
    """A connected non-blocking socket, or `DialFailed`.

    Marks `connect_start` just before connect() and `connected` when the selector reports the connection.
    """
    sock = open_socket(socket_family(address), socket.SOCK_STREAM, route)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = clock.monotonic()
        number = sock.connect_ex(address.sockaddr(port))
        stop = clock.monotonic()
        mark("connect_start", t=start)
        if number == errno.EINPROGRESS:
            stop = await writable(sock, clock, start + timeout)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        mark("connected", t=stop, source="socket")
    except OSError as error:
        failure = dial_failed(error, address, port, timeout, sock)
        sock.close()
        raise failure from None
    except BaseException:
        sock.close()
        raise
    return sock


def connect_time(sock: socket.socket, measured: float) -> tuple[float, Literal["kernel", "user"]]:
    """How long a connection took that has just come about, and whose stamps say so.

    The kernel's figure is the round trip of the SYN: no event loop and no busy processor is in it. It is
    used unless a SYN was sent again, for the kernel leaves that wait out; then the caller's own `measured`.
    """
    info = tcp_info(sock)
    if info is not None and not info.retransmits and 0 < info.rtt < measured:
        return info.rtt, "kernel"
    return measured, "user"


def dial_failed(
    error: OSError, address: Address, port: int, timeout: float, sock: socket.socket
) -> DialFailed:
    """What an error of connect() means; `sock` is the one that failed, still open."""
    where = f"[{address.ip}]:{port}" if address.family == "6" else f"{address.ip}:{port}"
    lost = _without_source() if _lacks_source(error, address, port) else classify(error, "connect")
    known = lost.error
    text = f"no answer within {timeout:g} s" if known.code == TIMER else known.message
    failure = DialFailed(
        known.class_,
        known.phase,
        known.code,
        f"{where}: {text}",
        retryable=known.retryable,
        remedy=known.remedy,
    )
    info = tcp_info(sock)
    failure.syn_retransmits = info.retransmits if info is not None else None
    return failure


def _lacks_source(error: OSError, address: Address, port: int) -> bool:
    """Whether this machine has no address to call from. The kernel says the same where it has no port left
    (EADDRNOTAVAIL, over IPv6 only); a datagram needs none of TCP's, and gets EAGAIN for want of its own."""
    if error.errno != errno.EADDRNOTAVAIL or address.family != "6":
        return False
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        return asking.connect_ex(address.sockaddr(port)) not in (0, errno.EAGAIN)


def _without_source() -> Failed:
    code = errno.errorcode[errno.EADDRNOTAVAIL]
    return Failed(
        "unreachable", "connect", code, "this machine has no address to call it from", retryable=True
    )
