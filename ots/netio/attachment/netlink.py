"""Asking the Linux kernel over netlink: messages out, payloads back, attributes taken apart.

Netlink answers for the network namespace of this process, which /sys does not when it was mounted elsewhere.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

ROUTE = 0
GENERIC = 16
"""Protocols (linux/netlink.h)."""

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
_PATIENCE = 2.0
_BUFFER = 1 << 18


def ask(protocol: int, kind: int, body: bytes, *, dump: bool = False) -> list[bytes]:
    """The payloads of the kernel's answer. OSError where it refuses, or where there is no netlink."""
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as sock:
        sock.settimeout(_PATIENCE)
        sock.bind((0, 0))
        flags = _REQUEST | (_DUMP if dump else _ACK)
        sock.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        payloads: list[bytes] = []
        while True:
            for reply, payload in messages(sock.recv(_BUFFER)):
                if reply == _DONE:
                    return payloads
                if reply == _ERROR:
                    (code,) = struct.unpack_from("=i", payload)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return payloads
                payloads.append(payload)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each message in what was received; stops at a truncated one."""
    while len(data) >= _HEADER.size:
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def attributes(data: bytes) -> dict[int, bytes]:
    """Type → value of each attribute; nested ones are taken apart by calling this again."""
    return dict(attribute_list(data))


def attribute_list(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to the next boundary of four."""
    padding = b"\0" * (_aligned(len(value)) - len(value))
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def number(value: bytes) -> int:
    """An unsigned integer of 1 to 8 bytes in the machine's order."""
    return int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> str:
    """A string that the kernel ends with a zero byte."""
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
