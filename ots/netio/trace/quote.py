"""ICMP errors as a trace reads them: what they quote, the MTU and the MPLS labels that they tell. Pure.

Every byte comes from a stranger: whatever does not fit is None, never an exception.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Literal

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58

_TOO_BIG = {"4": (3, 4), "6": (2, 0)}
_LENGTH_FIELD = {"4": (5, 4), "6": (4, 8)}
"""Where an error says how long its quote is, and in units of how many bytes (RFC 4884 §5)."""

_QUOTE_BEFORE_EXTENSION = 128
"""Bytes of the quote in front of an extension whose sender left the length field empty (RFC 4884 §5.5)."""

_IPV6_EXTENSIONS = (0, 43, 60)
_IPV6_FRAGMENT = 44
_MPLS_CLASS = (1, 1)
_MOST_LABELS = 16


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """An ICMP error: `transport` is what it quotes behind the IP header, as far as it goes."""

    type: int
    code: int
    protocol: int
    destination: str
    transport: bytes
    mtu: int
    labels: str


def read_error(icmp: bytes, family: Literal["4", "6"]) -> ErrorMessage | None:
    """An error from its ICMP header on; None if it is cut or quotes no IP packet of the family."""
    if len(icmp) < 8:
        return None
    kind, code = icmp[0], icmp[1]
    place, unit = _LENGTH_FIELD[family]
    length = icmp[place] * unit
    body = icmp[8:]
    quoted = _quoted(body[:length] if length else body, family)
    if quoted is None:
        return None
    protocol, destination, transport = quoted
    extension = body[max(length, _QUOTE_BEFORE_EXTENSION) :]
    return ErrorMessage(
        kind, code, protocol, destination, transport, _mtu(icmp, family), mpls_labels(extension)
    )


def mpls_labels(extension: bytes) -> str:
    """The label stack of an ICMP extension (RFC 4950) as traceroute writes it, `L=24005,E=0,S=1,T=1`, more
    than one with a slash between; empty if there is none, or if the extension's checksum is wrong."""
    if len(extension) < 8 or extension[0] >> 4 != 2:
        return ""
    if extension[2:4] != b"\0\0" and checksum(extension) != 0:
        return ""
    labels: list[str] = []
    position = 4
    while position + 4 <= len(extension):
        size, kind, subkind = struct.unpack_from("!HBB", extension, position)
        if size < 4 or position + size > len(extension):
            break
        if (kind, subkind) == _MPLS_CLASS:
            labels += [
                _label(word) for (word,) in struct.iter_unpack("!I", _whole(extension, position, size))
            ]
        position += size
    return "/".join(labels[:_MOST_LABELS])


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); of data that holds its own right checksum: 0."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _whole(extension: bytes, position: int, size: int) -> bytes:
    """The words of an object, a rest that is none left out."""
    return extension[position + 4 : position + size - size % 4]


def _label(word: int) -> str:
    return f"L={word >> 12},E={word >> 9 & 7},S={word >> 8 & 1},T={word & 255}"


def _mtu(icmp: bytes, family: Literal["4", "6"]) -> int:
    """The next hop's MTU (RFC 1191 §4, RFC 4443 §3.2); 0 where none is told."""
    if (icmp[0], icmp[1]) != _TOO_BIG[family]:
        return 0
    return int.from_bytes(icmp[6:8] if family == "4" else icmp[4:8], "big")


def _quoted(ip: bytes, family: Literal["4", "6"]) -> tuple[int, str, bytes] | None:
    """Protocol, destination and transport part of a quoted packet; a later fragment has no transport part."""
    if family == "4":
        if len(ip) < 20 or ip[0] >> 4 != 4 or ip[6] & 0x1F or ip[7]:
            return None
        return ip[9], socket.inet_ntop(socket.AF_INET, ip[16:20]), ip[(ip[0] & 0x0F) * 4 :]
    if len(ip) < 40 or ip[0] >> 4 != 6:
        return None
    following, position = ip[6], 40
    while following in (*_IPV6_EXTENSIONS, _IPV6_FRAGMENT) and position + 2 <= len(ip):
        length = 8 if following == _IPV6_FRAGMENT else (ip[position + 1] + 1) * 8
        following, position = ip[position], position + length
    return following, socket.inet_ntop(socket.AF_INET6, ip[24:40]), ip[position:]
