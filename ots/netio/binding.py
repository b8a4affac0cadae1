"""Tying a socket to an interface and a source address."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

from ots.i18n import N_
from ots.netio.errors import classify
from ots.probe import Address, Failed, Route

_IP_UNICAST_IF = 50
_IPV6_UNICAST_IF = 76
_IP_BIND_ADDRESS_NO_PORT = 24
"""Options of Linux (linux/in.h, linux/in6.h) that the socket module doesn't name."""

_NO_RIGHT = N_(
    "Binding to an interface needs Linux 5.7 or the right CAP_NET_RAW; a source address needs neither."
)
_NO_SOURCE = N_("Give an address of this machine; `ots link` lists them.")
_NO_INTERFACE = N_("Name an interface of this machine; `ots link` lists them.")


def socket_family(address: Address) -> socket.AddressFamily:
    """The system's name of an address's family."""
    return socket.AF_INET if address.family == "4" else socket.AF_INET6


def bind_route(sock: socket.socket, route: Route) -> None:
    """Ties the socket to the route's interface, then to its source address. Raises `Failed`, class `config`
    where the machine has no such interface or address."""
    if route.interface is not None:
        _bind_interface(sock, route.interface)
    if route.source is not None:
        _bind_source(sock, route.source)


def interface_index(name: str) -> int:
    """The index of an interface, or `Failed`, class `config`."""
    try:
        return socket.if_nametoindex(name)
    except (OSError, ValueError):
        raise Failed(
            "config", "config", "ENODEV", f"no interface {name!r} here", remedy=_NO_INTERFACE
        ) from None


def source_family(route: Route) -> str | None:
    """`4` or `6` as the source address says, None without one; `Failed` if the family asked contradicts."""
    if route.source is None:
        return None
    try:
        version = str(ipaddress.ip_address(route.source.partition("%")[0]).version)
    except ValueError:
        raise Failed(
            "config", "config", "EINVAL", f"source {route.source!r} is no address", remedy=_NO_SOURCE
        ) from None
    if route.family not in ("auto", version):
        raise Failed(
            "config",
            "config",
            "FAMILY",
            f"source {route.source} is IPv{version}, but family {route.family} was asked",
            remedy=N_("Give a source address of the family asked."),
        )
    return version


def _bind_interface(sock: socket.socket, name: str) -> None:
    index = interface_index(name)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
        return
    except OSError as error:
        # Kernels before 5.7 ask for CAP_NET_RAW. UNICAST_IF needs no right, but the kernel heeds it for
        # datagrams only: on a TCP socket it would be accepted and do nothing.
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise classify(error, "config") from None
        if sock.type not in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            raise Failed(
                "permission",
                "config",
                errno.errorcode[error.errno],
                f"no right to bind to {name}",
                remedy=_NO_RIGHT,
            ) from None
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_UNICAST_IF, struct.pack("!I", index))
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_IF, struct.pack("!I", index))


def _bind_source(sock: socket.socket, source: str) -> None:
    address, _, zone = source.partition("%")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family != sock.family:
        raise Failed(
            "config",
            "config",
            "FAMILY",
            f"source {source} has another address family than the target",
            remedy=N_("Give a source address of the target's family."),
        )
    where: tuple[str, int] | tuple[str, int, int, int] = (address, 0)
    if family == socket.AF_INET6:
        where = (address, 0, 0, interface_index(zone) if zone else 0)
    try:
        if sock.type == socket.SOCK_STREAM:
            # The port is chosen at connect, when the whole four-tuple is known, so many connections fit.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind(where)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
            raise Failed(
                "config",
                "config",
                errno.errorcode[error.errno],
                f"{source} is no address of this machine",
                remedy=_NO_SOURCE,
            ) from None
        raise classify(error, "config") from None
