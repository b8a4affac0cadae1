"""ICMP and ICMPv6 echo packets: building requests, reading replies and the requests that errors quote. Pure.

A request's payload begins with a token: 12 random bytes of the run, then the request's number. The kernel
rewrites the identifier of an unprivileged ICMP socket and other programs use the same sequence numbers, so
the token is what a reply is recognised by.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

COOKIE_BYTES = 12
TOKEN_BYTES = COOKIE_BYTES + 4
HEADER_BYTES = 8
IP_HEADER_BYTES = {"4": 20, "6": 40}

ECHO_REQUEST = {"4": 8, "6": 128}
ECHO_REPLY = {"4": 0, "6": 129}
ERRORS = {"4": (3, 11, 12), "6": (1, 2, 3, 4)}
"""Messages that say a packet was not delivered and quote it (RFC 792, RFC 4443)."""

_HEADER = struct.Struct("!BBHHH")
_TOKEN = struct.Struct(f"!{COOKIE_BYTES}sI")
_IPV6_EXTENSIONS = (0, 43, 60)
_IPV6_FRAGMENT = 44
_ICMPV6 = 58


@dataclass(frozen=True, slots=True)
class Echo:
    """An echo message of ours that came back: in a reply, or quoted by an error."""

    identifier: int
    sequence: int
    number: int | None
    """None where a router quoted too little to hold the token."""
    whole: bool
    """Whether the payload is the one that was sent, to the last byte."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received ICMP message. `echo` is None unless it carries this run's cookie."""

    type: int
    code: int
    echo: Echo | None
    ttl: int | None = None


class EchoCodec:
    """Builds and recognises the packets of one run: a new identifier, cookie and filling each time."""

    def __init__(self, family: Literal["4", "6"], size: int) -> None:
        if size < TOKEN_BYTES:
            raise ValueError(f"{size} bytes do not hold a token of {TOKEN_BYTES}")
        self.family = family
        self.size = size
        self.identifier = secrets.randbelow(0xFFFF) + 1
        self.cookie = secrets.token_bytes(COOKIE_BYTES)
        self._filling = secrets.token_bytes(size - TOKEN_BYTES)
        fixed = _HEADER.pack(ECHO_REQUEST[family], 0, 0, self.identifier, 0)
        self._fixed_sum = _sum(fixed) + _sum(self.cookie) + _sum(self._filling)

    @property
    def packet_bytes(self) -> int:
        """The size on the network: payload, ICMP header and IP header without options."""
        return self.size + HEADER_BYTES + IP_HEADER_BYTES[self.family]

    def request(self, number: int) -> bytes:
        """The echo request with this number (32 bit); its sequence number is the low half.

        The checksum is that of ICMP. For ICMPv6, whose checksum covers addresses, the kernel fills it in.
        """
        (checksum,) = self.checksums(number, 1)
        header = _HEADER.pack(ECHO_REQUEST[self.family], 0, checksum, self.identifier, number & 0xFFFF)
        return header + _TOKEN.pack(self.cookie, number) + self._filling

    def checksums(self, number: int, count: int) -> Sequence[int]:
        """The Internet checksums (RFC 1071) of `count` requests, whose numbers must have one high half.

        The low half of the number stands in a packet twice. Folding the carries of a sum is taking it modulo
        0xFFFF, with 0xFFFF in the place of 0.
        """
        first = self._fixed_sum + (number >> 16) + 2 * (number & 0xFFFF)
        least = first % 0xFFFF or 0xFFFF
        if least + 2 * (count - 1) <= 0xFFFF:
            return range(0xFFFF - least, 0xFFFF - least - 2 * count, -2)
        return [0xFFFF - (total % 0xFFFF or 0xFFFF) for total in range(first, first + 2 * count, 2)]

    def read(self, packet: bytes, *, ip_header: bool) -> Message | None:
        """What a received packet says; None if it is too short or no message that answers an echo request."""
        ttl = None
        if ip_header:
            if len(packet) < 20 or packet[0] >> 4 != 4:
                return None
            ttl = packet[8]
            packet = packet[(packet[0] & 0x0F) * 4 :]
        if len(packet) < HEADER_BYTES:
            return None
        kind, code = packet[0], packet[1]
        if kind == ECHO_REPLY[self.family] and code == 0:
            return Message(kind, code, self._echo(packet), ttl)
        if kind in ERRORS[self.family]:
            return Message(kind, code, self._quoted(packet[HEADER_BYTES:]), ttl)
        return None

    def read_quote(self, icmp: bytes) -> Echo | None:
        """The request that an error quotes, from its ICMP header on.

        A router need quote no more than 8 bytes of it (RFC 792): then identifier and sequence number are all
        there is to know it by.
        """
        if len(icmp) < HEADER_BYTES or icmp[0] != ECHO_REQUEST[self.family]:
            return None
        if len(icmp) < HEADER_BYTES + TOKEN_BYTES:
            _, _, _, identifier, sequence = _HEADER.unpack_from(icmp)
            return Echo(identifier, sequence, None, False)
        return self._echo(icmp)

    def _echo(self, icmp: bytes) -> Echo | None:
        if len(icmp) < HEADER_BYTES + TOKEN_BYTES:
            return None
        _, _, _, identifier, sequence = _HEADER.unpack_from(icmp)
        cookie, number = _TOKEN.unpack_from(icmp, HEADER_BYTES)
        if cookie != self.cookie or number & 0xFFFF != sequence:
            return None
        return Echo(identifier, sequence, number, icmp[HEADER_BYTES + TOKEN_BYTES :] == self._filling)

    def _quoted(self, ip: bytes) -> Echo | None:
        """The echo request in the IP packet that an error message quotes."""
        if not ip:
            return None
        if self.family == "4":
            return self.read_quote(ip[(ip[0] & 0x0F) * 4 :]) if ip[0] >> 4 == 4 else None
        if ip[0] >> 4 != 6 or len(ip) < 40:
            return None
        following, position = ip[6], 40
        while following in (*_IPV6_EXTENSIONS, _IPV6_FRAGMENT) and position + 2 <= len(ip):
            length = 8 if following == _IPV6_FRAGMENT else (ip[position + 1] + 1) * 8
            following, position = ip[position], position + length
        return self.read_quote(ip[position:]) if following == _ICMPV6 else None


def _sum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    return sum(struct.unpack(f"!{len(data) // 2}H", data))
