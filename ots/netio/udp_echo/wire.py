"""The packets of the echo protocol, for client and responder alike (docs/design/015-latency-under-load.md).

    head  magic "oE" (2 bytes), version (1), type (1), session token (8)
    mac   16 bytes: HMAC-SHA256 over head and body, cut; zero without a shared key
    body  by type, then padding

All numbers are in network order. Times are nanoseconds of a monotonic clock. A reply is never longer than the
packet that it answers: the requests HELLO, OPEN, REPORT and CLOSE are padded for that, an echo has the size
of its request.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_HEAD = struct.Struct("!2sBBQ")
_MAGIC, VERSION = b"oE", 1
MAC_BYTES = 16
FRAME_BYTES = _HEAD.size + MAC_BYTES
_NO_MAC = bytes(MAC_BYTES)

_HELLO = struct.Struct("!8s")
_CHALLENGE = struct.Struct("!8s16s")
_OPEN = struct.Struct("!8s16sIIH")
_ACCEPT = struct.Struct("!8s8sdd")
_REFUSE = struct.Struct("!8sBIIHH")
_ECHO = struct.Struct("!IIQQQ")
_ASK = struct.Struct("!I")
_REPORT = struct.Struct("!IIIIIH")

SMALLEST = FRAME_BYTES + _ECHO.size
"""Bytes of payload that an echo needs at least."""

CONTROL_BYTES = 160
REPORT_BYTES = 1200
REPORTED_AT_ONCE = (REPORT_BYTES - FRAME_BYTES - _REPORT.size) // 8 * 64
"""Sequence numbers whose arrival one REPORTED tells, a bit each."""

WINDOW = 64
"""Sequence numbers whose arrival a reply tells: its own and those before."""


class Type(IntEnum):
    """What a packet is; the even ones are the responder's."""

    HELLO = 1
    CHALLENGE = 2
    OPEN = 3
    ACCEPT = 4
    REFUSE = 6
    ECHO = 7
    REPLY = 8
    REPORT = 9
    REPORTED = 10
    CLOSE = 11
    CLOSED = 12


class Refusal(IntEnum):
    """Why no session was opened."""

    KEY = 1
    BUSY = 2
    LIMIT = 3


class Malformed(ValueError):
    """Bytes that are no packet of this protocol, or carry a wrong MAC."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that was read; `authentic` says whether its MAC is right for the key it was read with."""

    type: Type
    token: int
    body: memoryview
    size: int
    has_mac: bool
    authentic: bool


def session_key(shared: bytes | None, nonce: bytes, cookie: bytes) -> bytes | None:
    """The key of one session, made of the shared one; None without one."""
    return None if shared is None else hmac.digest(shared, b"ots echo" + nonce + cookie, "sha256")


def write(kind: Type, token: int, body: bytes, key: bytes | None) -> bytes:
    """A whole packet."""
    head = _HEAD.pack(_MAGIC, VERSION, kind, token)
    mac = _NO_MAC if key is None else hmac.digest(key, head + body, "sha256")[:MAC_BYTES]
    return head + mac + body


def read(packet: bytes, key: bytes | None) -> Packet:
    """Takes a packet apart. `Malformed` if it is none; a wrong MAC is told, not raised."""
    if len(packet) < FRAME_BYTES:
        raise Malformed("too short")
    magic, version, kind, token = _HEAD.unpack_from(packet)
    if magic != _MAGIC or version != VERSION or kind not in Type.__members__.values():
        raise Malformed("another protocol")
    mac, body = packet[_HEAD.size : FRAME_BYTES], memoryview(packet)[FRAME_BYTES:]
    has_mac = mac != _NO_MAC
    if key is None:
        authentic = not has_mac
    else:
        right = hmac.digest(key, packet[: _HEAD.size] + body, "sha256")[:MAC_BYTES]
        authentic = hmac.compare_digest(mac, right)
    return Packet(Type(kind), token, body, len(packet), has_mac, authentic)


def _padded(body: bytes, size: int) -> bytes:
    return body + bytes(size - FRAME_BYTES - len(body))


def hello(nonce: bytes) -> bytes:
    return write(Type.HELLO, 0, _padded(_HELLO.pack(nonce), CONTROL_BYTES), None)


def challenge(nonce: bytes, cookie: bytes) -> bytes:
    return write(Type.CHALLENGE, 0, _CHALLENGE.pack(nonce, cookie), None)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for: packets, seconds between two, bytes of payload."""

    count: int
    interval: float
    size: int

    @property
    def duration(self) -> float:
        return self.count * self.interval


@dataclass(frozen=True, slots=True)
class Opening:
    """The body of OPEN."""

    nonce: bytes
    cookie: bytes
    wish: Wish

    def write(self, key: bytes | None) -> bytes:
        wish = self.wish
        body = _OPEN.pack(self.nonce, self.cookie, wish.count, round(wish.interval * 1e6), wish.size)
        return write(Type.OPEN, 0, _padded(body, CONTROL_BYTES), key)

    @classmethod
    def of(cls, body: memoryview) -> Opening:
        nonce, cookie, count, interval, size = _unpack(_OPEN, body)
        return cls(nonce, cookie, Wish(count, interval / 1e6, size))


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The body of ACCEPT.

    `clock` tells the responder's machine for one that runs on it too, without naming it; `wall_offset` places
    its monotonic clock in time, `clock_error` bounds the error of that in seconds (negative: unknown).
    """

    nonce: bytes
    clock: bytes
    wall_offset: float
    clock_error: float

    def write(self, token: int, key: bytes | None) -> bytes:
        return write(
            Type.ACCEPT,
            token,
            _ACCEPT.pack(self.nonce, self.clock, self.wall_offset, self.clock_error),
            key,
        )

    @classmethod
    def of(cls, body: memoryview) -> Acceptance:
        nonce, clock, wall_offset, clock_error = _unpack(_ACCEPT, body)
        return cls(nonce, clock, wall_offset, clock_error)


@dataclass(frozen=True, slots=True)
class Refused:
    """The body of REFUSE, with the most that the responder would grant."""

    nonce: bytes
    why: Refusal
    most: Wish
    wait: int

    def write(self, key: bytes | None) -> bytes:
        most = self.most
        body = _REFUSE.pack(
            self.nonce, self.why, most.count, round(most.interval * 1e6), most.size, self.wait
        )
        return write(Type.REFUSE, 0, body, key)

    @classmethod
    def of(cls, body: memoryview) -> Refused:
        nonce, why, count, interval, size, wait = _unpack(_REFUSE, body)
        if why not in Refusal.__members__.values():
            raise Malformed("an unknown refusal")
        return cls(nonce, Refusal(why), Wish(count, interval / 1e6, size), wait)


@dataclass(frozen=True, slots=True)
class Echo:
    """The fixed part of an echo; in a request everything but `sequence` is 0.

    `received` counts the distinct requests that had arrived, `window` has bit i set if request `sequence - i`
    had. `arrived` is the request's arrival on the responder's clock, `held` how long it kept it; both ns.
    """

    sequence: int
    received: int = 0
    window: int = 0
    arrived: int = 0
    held: int = 0

    def write(self, kind: Type, token: int, filling: bytes, key: bytes | None) -> bytes:
        body = _ECHO.pack(self.sequence, self.received, self.window, self.arrived, self.held)
        return write(kind, token, body + filling, key)

    @classmethod
    def of(cls, body: memoryview) -> Echo:
        return cls(*_unpack(_ECHO, body))


def filling_of(body: memoryview) -> bytes:
    """What an echo carries behind its fixed part."""
    return bytes(body[_ECHO.size :])


def ask(token: int, first: int, key: bytes | None) -> bytes:
    """A REPORT: which requests from number `first` on have arrived?"""
    return write(Type.REPORT, token, _padded(_ASK.pack(first), REPORT_BYTES), key)


@dataclass(frozen=True, slots=True)
class Report:
    """The body of REPORTED: counters of the session, and a bit for each of the requests from `first` on.

    `limited` were not answered because the session sent more than it was granted.
    """

    first: int
    received: int
    duplicates: int
    reordered: int
    limited: int
    bits: bytes

    def write(self, token: int, key: bytes | None) -> bytes:
        head = _REPORT.pack(
            self.first, self.received, self.duplicates, self.reordered, self.limited, len(self.bits)
        )
        return write(Type.REPORTED, token, head + self.bits, key)

    @classmethod
    def of(cls, body: memoryview) -> Report:
        first, received, duplicates, reordered, limited, length = _unpack(_REPORT, body)
        bits = bytes(body[_REPORT.size : _REPORT.size + length])
        if len(bits) != length:
            raise Malformed("a cut report")
        return cls(first, received, duplicates, reordered, limited, bits)

    def has(self, sequence: int) -> bool | None:
        """Whether a request arrived; None if this report doesn't say."""
        place = sequence - self.first
        if not 0 <= place < 8 * len(self.bits):
            return None
        return bool(self.bits[place // 8] >> (place % 8) & 1)


def first_asked(body: memoryview) -> int:
    """The body of REPORT."""
    (first,) = _unpack(_ASK, body)
    return int(first)


def nonce_of(body: memoryview) -> bytes:
    """The body of HELLO."""
    (nonce,) = _unpack(_HELLO, body)
    return bytes(nonce)


def challenge_of(body: memoryview) -> tuple[bytes, bytes]:
    """Nonce and cookie of a CHALLENGE."""
    nonce, cookie = _unpack(_CHALLENGE, body)
    return bytes(nonce), bytes(cookie)


def _unpack(layout: struct.Struct, body: memoryview) -> tuple[Any, ...]:
    if len(body) < layout.size:
        raise Malformed("too short for its type")
    return layout.unpack_from(body)
