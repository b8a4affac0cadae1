"""One DNS query and its response over our own sockets; dnspython builds and reads the messages.

A response counts only if it comes from the server asked, carries the query's id and repeats its question.
Over UDP anything else is passed over, as RFC 5452 demands, and the wait goes on; only if nothing better came
in time does the query end as `protocol`.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import dns.exception
import dns.message

from ots.clock import Clock, wall_offset
from ots.model.outcome import Phase
from ots.netio.errors import TIMER, classify
from ots.netio.ready import readable
from ots.netio.stream import receive, send
from ots.probe import Address, Failed, Net, Route

_PHASE: Phase = "resolve"
_LARGEST = 65535
_TC = 0x02
"""The bit of the header's third octet that says: truncated (RFC 1035 §4.1.1)."""
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class Response:
    """A valid response: `start` just before the query was sent, `stop` when the answer's last byte was here.

    `received` and `sent` are the bytes of the two messages; `stamp` says whose stamp `stop` is.
    """

    message: dns.message.Message
    received: int
    sent: int
    start: float
    stop: float
    stamp: str


async def over_udp(
    net: Net,
    address: Address,
    port: int,
    route: Route,
    query: dns.message.Message,
    clock: Clock,
    timeout: float,
) -> Response:
    """Asks by datagram. The stop stamp is the kernel's where it gives one."""
    sock = net.udp(address, route, port)
    try:
        if net.guard is not None:
            net.guard.send(address)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        # Connected, the kernel drops what other hosts send and reports ICMP errors.
        sock.connect(address.sockaddr(port))
        wire = query.to_wire()
        start = clock.monotonic()
        sent = sock.send(wire)
        return await _await_datagram(sock, query, sent, clock, start, start + timeout)
    except OSError as error:
        raise _failed(error, f"{address.ip} port {port}", timeout) from None
    finally:
        sock.close()


async def over_stream(
    sock: socket.socket, peer: str, query: dns.message.Message, clock: Clock, timeout: float
) -> Response:
    """Asks over a connected socket, plain or TLS (RFC 7766, RFC 7858). The socket stays open."""
    wire = query.to_wire()
    start = clock.monotonic()
    until = start + timeout
    try:
        await send(sock, struct.pack("!H", len(wire)) + wire, clock, until)
        (size,) = struct.unpack("!H", await receive(sock, 2, clock, until))
        answer = await receive(sock, size, clock, until)
    except (OSError, EOFError) as error:
        raise _failed(error, peer, timeout) from None
    stop = clock.monotonic()
    message, fault = _read(answer, query)
    if message is None:
        raise Failed("protocol", _PHASE, fault, f"the server's response is invalid: {fault}")
    return Response(message, len(answer), len(wire), start, stop, "user")


async def _await_datagram(
    sock: socket.socket, query: dns.message.Message, sent: int, clock: Clock, start: float, until: float
) -> Response:
    fault = ""
    while True:
        try:
            seen = await readable(sock, clock, until)
        except TimeoutError:
            if fault:
                raise Failed(
                    "protocol", _PHASE, fault, f"no valid response, only invalid ones: {fault}"
                ) from None
            raise
        wire, ancillary, _, _ = sock.recvmsg(_LARGEST, 64)
        message, wrong = _read(wire, query)
        if message is None:
            fault = wrong
            continue
        stop, stamp = _stamp(ancillary, clock, start, seen)
        return Response(message, len(wire), sent, start, stop, stamp)


def _read(wire: bytes, query: dns.message.Message) -> tuple[dns.message.Message | None, str]:
    """The message, or what is wrong with it."""
    # A truncated message may end in the middle of a record: only its head counts.
    truncated = len(wire) > 2 and bool(wire[2] & _TC)
    try:
        message = dns.message.from_wire(wire, question_only=truncated, ignore_trailing=truncated)
    except (dns.exception.DNSException, ValueError, struct.error):
        return None, "MALFORMED"
    if message.id != query.id:
        return None, "WRONG_ID"
    if not query.is_response(message):
        return None, "WRONG_QUESTION"
    return message, ""


def _stamp(
    ancillary: list[tuple[int, int, bytes]], clock: Clock, start: float, seen: float
) -> tuple[float, str]:
    """When the datagram reached the kernel, on the monotonic clock, else when the loop saw it.

    The kernel stamps by the wall clock; a stamp outside the interval in which it must lie shows that this
    clock was stepped, and is not used.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            stop = seconds + nanoseconds / 1e9 - wall_offset(clock)
            if start <= stop <= seen:
                return stop, "kernel"
    return seen, "user"


def _failed(error: OSError | EOFError, peer: str, timeout: float) -> Failed:
    known = classify(error, _PHASE).error
    where = f"DNS server {peer}"
    text = f"no answer within {timeout:g} s" if known.code == TIMER else known.message
    if isinstance(error, ConnectionRefusedError):
        text = "nothing listens there (ICMP port unreachable)"
    return Failed(
        known.class_,
        _PHASE,
        known.code,
        f"{where}: {text}",
        retryable=known.retryable,
        remedy=known.remedy,
    )
