"""What kind of place an address is, whatever form it is dressed in.

An IPv4 address can be carried inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP); the
packets end at the inner one, so that is what counts. Of several readings the most delicate wins.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

Place = Literal[
    "unspecified",
    "broadcast",
    "multicast",
    "loopback",
    "metadata",
    "link_local",
    "reserved",
    "private",
    "public",
]
"""The most delicate first."""

_ORDER: tuple[Place, ...] = (
    "unspecified",
    "broadcast",
    "multicast",
    "loopback",
    "metadata",
    "link_local",
    "reserved",
    "private",
    "public",
)

NEVER: dict[Place, str] = {
    "unspecified": "is no address of a host",
    "broadcast": "is a broadcast address",
    "multicast": "is a multicast address",
    "loopback": "is this machine itself (loopback)",
    "metadata": "is a cloud's metadata address",
    "link_local": "is a link-local address",
    "reserved": "is reserved",
}
"""Places that nobody from outside may send this machine to, and how to say so."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
"""Where clouds answer a machine's questions about itself, its credentials among them."""

_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_CLASS_E = IPv4Network("240.0.0.0/4")
_COMPATIBLE = IPv6Network("::/96")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)
_SITE_LOCAL = IPv6Network("fec0::/10")


def parse(ip: str) -> Address:
    """The address without its zone. ValueError for anything else."""
    return ipaddress.ip_address(ip.partition("%")[0])


def readings(address: Address) -> Iterator[Address]:
    """The address itself, then every IPv4 address that it carries."""
    yield address
    if not isinstance(address, IPv6Address):
        return
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if any(address in network for network in _NAT64):
        yield low
    if address in _COMPATIBLE and number > 1:
        yield low
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~number & 0xFFFFFFFF)
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield low


def place_of(address: Address) -> Place:
    """The most delicate of all readings."""
    return min((_plain(each) for each in readings(address)), key=_ORDER.index)


def whose(ip: str) -> str:
    """One text for all addresses that are most likely one host: an IPv4 address in whatever dress, the /64
    that an IPv6 one is in."""
    address = parse(ip)
    if isinstance(address, IPv4Address):
        return str(address)
    inner = next((each for each in readings(address) if isinstance(each, IPv4Address)), None)
    return str(inner) if inner is not None else str(IPv6Network((int(address) >> 64 << 64, 64)))


def _plain(address: Address) -> Place:
    if address in _METADATA:
        return "metadata"
    if isinstance(address, IPv4Address):
        if address in _THIS_NETWORK:
            return "unspecified"
        if address == IPv4Address("255.255.255.255"):
            return "broadcast"
    elif address.is_unspecified:
        return "unspecified"
    elif address in _SITE_LOCAL:
        return "private"
    elif address.ipv4_mapped is not None or any(address in network for network in _NAT64):
        # An envelope: what counts is inside.
        return "public"
    if address.is_multicast:
        return "multicast"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link_local"
    if isinstance(address, IPv4Address) and address in _CLASS_E:
        return "reserved"
    return "public" if address.is_global else "private"
