"""Which way a packet would leave this machine: the kernel's own answer, without sending one."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from ots.netio.attachment import netlink

_GETROUTE = 26
_ROUTE = struct.Struct("=BBBBBBBBI")
_DST, _OIF, _GATEWAY, _PREFSRC, _VIA = 1, 4, 5, 7, 18
_UNICAST, _LOCAL = 1, 2

_SOMEWHERE_FAR = {"4": "198.51.100.1", "6": "2001:db8:ffff::1"}
"""Documentation addresses (RFC 5737, RFC 3849): only the default route leads there."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way to one address: interface by name, gateway (None: on the link), own address."""

    interface: str
    gateway: str | None
    source: str | None


def way_to(ip: str) -> Way:
    """The way to an address (`fe80::1%eth0` names its interface). OSError if there is none."""
    literal, _, zone = ip.partition("%")
    address = ipaddress.ip_address(literal)
    if zone:
        return Way(zone, None, None)
    try:
        return _ask(address)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise
        return _guess(address)


def default_way(family: str) -> Way | None:
    """The way to the rest of the world in one family (`4`, `6`), None if there is none.

    Asked of the whole routing policy, so that a VPN with rules and tables of its own is seen too.
    """
    try:
        return way_to(_SOMEWHERE_FAR[family])
    except OSError:
        return None


def _ask(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Way:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    header = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    for payload in netlink.ask(netlink.ROUTE, _GETROUTE, header + netlink.attribute(_DST, address.packed)):
        return parse_route(payload)
    raise OSError(errno.ENETUNREACH, "no route")


def parse_route(payload: bytes) -> Way:
    """A way from the kernel's route message; OSError if it leads nowhere."""
    kind = _ROUTE.unpack_from(payload)[7]
    found = netlink.attributes(payload[_ROUTE.size :])
    if kind not in (_UNICAST, _LOCAL) or _OIF not in found:
        raise OSError(errno.ENETUNREACH, "no route")
    gateway = found.get(_GATEWAY)
    if gateway is None and _VIA in found:
        gateway = found[_VIA][2:]  # an IPv6 next hop for IPv4 (RFC 8950), behind its family
    source = found.get(_PREFSRC)
    return Way(
        socket.if_indextoname(netlink.number(found[_OIF])),
        str(ipaddress.ip_address(gateway)) if gateway else None,
        str(ipaddress.ip_address(source)) if source else None,
    )


def _guess(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Way:
    """Without netlink: a connected UDP socket sends nothing and knows its own address; whose is it?"""
    import psutil

    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((str(address), 9))
        source = sock.getsockname()[0]
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == source for entry in entries):
            return Way(name, None, source)
    raise OSError(errno.ENETUNREACH, "no route")
