"""Many packets with one system call: sendmmsg(2) and recvmmsg(2), which Python does not have. A system that
has not got them either (macOS) gets one call for each packet.

Packets, addresses and ancillary data lie in blocks of equal records that are made once; a batch of requests
is written column by column (one slice assignment sets one byte of all packets), a batch of replies is read in
one pass of `struct.iter_unpack`. Nothing is allocated for a packet.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Literal

from ots.netio.icmp.packet import COOKIE_BYTES, HEADER_BYTES, EchoCodec

BATCH = 256
"""Packets that one call carries at most."""

_NAME, _CONTROL, _PACKET = 32, 128, 224
_RECORD = _NAME + _CONTROL + _PACKET
"""A received packet's sender, ancillary data and beginning: room for an error with all that it may quote."""

_TIME = _NAME + 16
"""The first ancillary item's data, where a word has 64 bits: behind its length, level and type."""

_SEQUENCE, _CHECKSUM, _NUMBER = 6, 2, HEADER_BYTES + COOKIE_BYTES


class _IOVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Message(ctypes.Structure):
    """struct mmsghdr: a header, and the bytes that were moved."""

    _fields_ = [("header", _Header), ("length", ctypes.c_uint32)]


_libc = ctypes.CDLL(None, use_errno=True)
_send = getattr(_libc, "sendmmsg", None)
_receive = getattr(_libc, "recvmmsg", None)


class Outbox:
    """Echo requests of one family to addresses that follow one another."""

    def __init__(self, codec: EchoCodec, *, checksum: bool) -> None:
        """`checksum`: whether it is ours to compute (raw IPv4 socket) or the kernel's."""
        self._codec = codec
        self._checksum = checksum
        template = codec.request(0)
        self._stride = len(template)
        self._packets = bytearray(template * BATCH)
        self._name_bytes = 16 if codec.family == "4" else 28
        self._low_at = 4 if codec.family == "4" else 20
        self._names = bytearray(self._name_bytes * BATCH)
        self._iovs = (_IOVec * BATCH)()
        self._messages = (_Message * BATCH)()
        packets, names = _address(self._packets), _address(self._names)
        for number in range(BATCH):
            iov, header = self._iovs[number], self._messages[number].header
            iov.base, iov.length = packets + number * self._stride, self._stride
            header.name, header.name_length = names + number * self._name_bytes, self._name_bytes
            header.iov, header.iov_count = ctypes.addressof(iov), 1

    def aim(self, prefix: bytes, scope: int) -> None:
        """Sets what the addresses of a network have in common (IPv6: all but their last 32 bits)."""
        if self._codec.family == "4":
            name = struct.pack("=HHI8x", socket.AF_INET, 0, 0)
        else:
            name = struct.pack("=HHI12sII", socket.AF_INET6, 0, 0, prefix, 0, scope)
        self._names[:] = name * BATCH

    def write(self, number: int, low: int, count: int) -> None:
        """Writes `count` requests from `number` on to the addresses that end in `low`, `low` + 1, …

        The numbers must have the same high half.
        """
        numbers = _big_endian(array("I", range(number, number + count)))
        _columns(self._packets, _NUMBER, self._stride, numbers, 4)
        _columns(self._packets, _SEQUENCE, self._stride, numbers, 4, skip=2)
        addresses = _big_endian(array("I", range(low, low + count)))
        _columns(self._names, self._low_at, self._name_bytes, addresses, 4)
        if self._checksum:
            sums = _big_endian(array("H", self._codec.checksums(number, count)))
            _columns(self._packets, _CHECKSUM, self._stride, sums, 2)

    def send(self, sock: socket.socket, first: int, count: int) -> int:
        """Sends `count` of the written requests from the `first` on; returns how many left.

        `OSError` if already the first one did not.
        """
        if _send is None:
            return self._send_singly(sock, first, count)
        start = ctypes.byref(self._messages, first * ctypes.sizeof(_Message))
        sent = int(_send(sock.fileno(), start, count, socket.MSG_DONTWAIT))
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent

    def _send_singly(self, sock: socket.socket, first: int, count: int) -> int:
        for place in range(first, first + count):
            packet = self._packets[place * self._stride : (place + 1) * self._stride]
            name = self._names[place * self._name_bytes : (place + 1) * self._name_bytes]
            address: tuple[str, int] | tuple[str, int, int, int]
            if self._codec.family == "4":
                address = socket.inet_ntop(socket.AF_INET, name[4:8]), 0
            else:
                scope = int.from_bytes(name[24:28], sys.byteorder)
                address = socket.inet_ntop(socket.AF_INET6, name[8:24]), 0, 0, scope
            try:
                sock.sendto(packet, address)
            except OSError:
                if place == first:
                    raise
                return place - first
        return count


Stamp = tuple[int, int, int, int]
"""Level and type of the first ancillary item, seconds and nanoseconds in it."""

Parsed = tuple[bytes, int, int, int, int, int, int, bytes, int]
"""Address before its last 32 bits, those; first byte of the packet (0 without IP header), ICMP type, code,
identifier, sequence number; cookie, number."""


class Inbox:
    """Packets of one family as they come."""

    def __init__(self, family: Literal["4", "6"], *, ip_header: bool) -> None:
        self._family = family
        self._block = bytearray(_RECORD * BATCH)
        self._view = memoryview(self._block)
        self._iovs = (_IOVec * BATCH)()
        self._messages = (_Message * BATCH)()
        start = _address(self._block)
        for number in range(BATCH):
            iov, header = self._iovs[number], self._messages[number].header
            record = start + number * _RECORD
            iov.base, iov.length = record + _NAME + _CONTROL, _PACKET
            header.name, header.name_length = record, _NAME
            header.iov, header.iov_count = ctypes.addressof(iov), 1
            header.control, header.control_length = record + _NAME, _CONTROL
        self._pristine = bytes(self._messages)
        words = memoryview(self._messages).cast("B").cast("I")
        at = _Message.length.offset
        self._lengths = words[at // 4 :: ctypes.sizeof(_Message) // 4]
        wide = struct.calcsize("P") == 8
        header, rest = ("8x" if wide else "4x"), ("qq" if wide else "ii")
        self._stamps = struct.Struct(f"={_NAME}x{header}ii{rest}{_CONTROL - (32 if wide else 20)}x{_PACKET}x")
        sender = f"4x0sI{_NAME - 8}x" if family == "4" else f"8x12sI{_NAME - 24}x"
        ip = "B19x" if ip_header else "0s"
        packet = _PACKET - (20 if ip_header else 0) - HEADER_BYTES - COOKIE_BYTES - 4
        self._layout = struct.Struct(f"!{sender}{_CONTROL}x{ip}BB2xHH{COOKIE_BYTES}sI{packet}x")
        self._seconds = memoryview(self._block).cast("q")[_TIME // 8 :: _RECORD // 8] if wide else None
        self._nanoseconds = memoryview(self._block).cast("q")[_TIME // 8 + 1 :: _RECORD // 8]
        at = _NAME + _CONTROL + (20 if ip_header else 0)
        self._sequence_at, self._number_at = at + _SEQUENCE, at + _NUMBER
        self._low_at, prefix = (4, range(0)) if family == "4" else (20, range(8, 20))
        level_and_type = range(_TIME - 8, _TIME)
        cookie = range(at + HEADER_BYTES, at + HEADER_BYTES + COOKIE_BYTES)
        head = [_NAME + _CONTROL] if ip_header else []
        self._alike = [*prefix, *level_and_type, *head, at, at + 1, at + 4, at + 5, *cookie]

    def receive(self, sock: socket.socket) -> int:
        """Reads what waits, a batch at most; returns how many packets. An error of the socket counts as none:
        it stands in the error queue too."""
        if _receive is None:
            return self._receive_singly(sock)
        ctypes.memmove(self._messages, self._pristine, len(self._pristine))
        count = int(_receive(sock.fileno(), self._messages, BATCH, socket.MSG_DONTWAIT, None))
        return max(0, count)

    def _receive_singly(self, sock: socket.socket) -> int:
        """Puts packets and stamps where recvmmsg puts them."""
        for place in range(BATCH):
            start = place * _RECORD
            packet = start + _NAME + _CONTROL
            try:
                length, ancillary, _, address = sock.recvmsg_into(
                    [self._view[packet : packet + _PACKET]], _CONTROL
                )
            except OSError:
                return place
            self._lengths[place] = length
            at, family = (4, socket.AF_INET) if self._family == "4" else (8, socket.AF_INET6)
            sender = socket.inet_pton(family, address[0].partition("%")[0])
            self._block[start + at : start + at + len(sender)] = sender
            control = start + _NAME
            self._block[control : control + _CONTROL] = bytes(_CONTROL)
            for level, kind, data in ancillary[:1]:
                item = struct.pack("=ii", level, kind) + data[: _CONTROL - 16]
                at = control + ctypes.sizeof(ctypes.c_size_t)
                self._block[at : at + len(item)] = item
        return BATCH

    def read(self, count: int) -> Iterator[tuple[int, Stamp, Parsed]]:
        """Length, stamp and fields of each packet that was received."""
        block = self._view[: count * _RECORD]
        return zip(
            self._lengths[:count].tolist(),
            self._stamps.iter_unpack(block),
            self._layout.iter_unpack(block),
            strict=True,
        )

    def rises(self, count: int, number: int, low: int) -> bool:
        """Whether the packets are as the first one is, which has this number and comes from an address that
        ends in `low`, but that number and address rise by one from each to the next.

        Twenty times as fast as a look at each, and what an orderly network mostly gives.
        """
        if self._seconds is None or len(set(self._lengths[:count].tolist())) > 1:
            return False
        stop = count * _RECORD
        numbers = _big_endian(array("I", range(number, number + count)))
        lows = _big_endian(array("I", range(low, low + count)))
        block = self._block
        return (
            all(block[self._number_at + byte : stop : _RECORD] == numbers[byte::4] for byte in range(4))
            and block[self._sequence_at : stop : _RECORD] == numbers[2::4]
            and block[self._sequence_at + 1 : stop : _RECORD] == numbers[3::4]
            and all(block[self._low_at + byte : stop : _RECORD] == lows[byte::4] for byte in range(4))
            and all(block[at:stop:_RECORD].count(block[at]) == count for at in self._alike)
        )

    def arrivals(self, count: int, offset: float) -> list[float]:
        """The stamps of packets of which each has one, less an offset."""
        assert self._seconds is not None
        seconds, parts = self._seconds[:count].tolist(), self._nanoseconds[:count].tolist()
        if seconds.count(seconds[0]) == count:
            base = seconds[0] - offset
            return [base + part * 1e-9 for part in parts]
        return [whole - offset + part * 1e-9 for whole, part in zip(seconds, parts, strict=True)]

    def packet(self, number: int) -> bytes:
        """The beginning of a received packet, as far as it was kept."""
        start = number * _RECORD + _NAME + _CONTROL
        return bytes(self._view[start : start + min(self._lengths[number], _PACKET)])

    def sender(self, number: int) -> str:
        """The address that a received packet came from."""
        start = number * _RECORD
        if self._family == "4":
            return socket.inet_ntop(socket.AF_INET, self._view[start + 4 : start + 8])
        return socket.inet_ntop(socket.AF_INET6, self._view[start + 8 : start + 24])


def _address(block: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(block)).from_buffer(block))


def _big_endian(words: array[int]) -> bytes:
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()


def _columns(block: bytearray, at: int, stride: int, data: bytes, size: int, skip: int = 0) -> None:
    """Puts the fields of `size` bytes in `data`, each without its first `skip`, into a block's records."""
    stop = stride * (len(data) // size)
    for byte in range(skip, size):
        block[at + byte - skip : stop : stride] = data[byte::size]
