"""Where probes may go: what a list says, for names, addresses and ports. Nothing here asks the network.

Without an entry nothing is allowed. A name must be listed by name. An address must be listed as part of a
network, whether it was asked for or is what a listed name leads to; only public addresses of listed names
need no entry of their own. Some addresses are never allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from ots.probe import Failed

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/128", "unspecified"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        # Where clouds tell a machine its secrets, outside of link-local: Alibaba, Oracle, Azure, AWS, Google.
        ("100.100.100.200/32", "metadata"),
        ("192.0.0.192/32", "metadata"),
        ("168.63.129.16/32", "metadata"),
        ("fd00:ec2::254/128", "metadata"),
        ("fd20:ce::254/128", "metadata"),
    )
)

_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        # IANA's registries of special-purpose addresses, RFC 6890.
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24"),
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("240.0.0.0/4", "::1/128", "fc00::/7", "fec0::/10", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23"),
    )
)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_ALL_PORTS = range(1, 65536)


class NotAllowed(Failed):
    """The list does not allow it: nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__("rejected", "resolve", "NOT_ALLOWED", message)


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports an entry allows. Where there is none, as for ICMP, every entry will do."""

    ranges: tuple[range, ...] = (_ALL_PORTS,)

    def __contains__(self, port: int | None) -> bool:
        return port is None or any(port in known for known in self.ranges)


@dataclass(frozen=True, slots=True)
class Name:
    """A host name, with a star for its first labels (`*.example.org`, not example.org itself) or for all."""

    pattern: str
    ports: Ports = Ports()

    def covers(self, host: str) -> bool:
        if self.pattern == "*":
            return True
        if self.pattern.startswith("*."):
            return host.endswith(self.pattern[1:]) and len(host) >= len(self.pattern)
        return host == self.pattern


@dataclass(frozen=True, slots=True)
class Listed:
    """A network. It lists addresses that are not public only if it holds no public ones: `0.0.0.0/0` is the
    internet, and not the machine itself."""

    network: Network
    ports: Ports = Ports()

    def covers(self, address: IP) -> bool:
        if address.version != self.network.version or address not in self.network:
            return False
        return is_public(address) or not holds_public(self.network)


class AllowList:
    """The entries of a list. An empty one allows nothing."""

    def __init__(self, names: Sequence[Name] = (), networks: Sequence[Listed] = ()) -> None:
        self._names = tuple(names)
        self._networks = tuple(networks)

    def check_host(self, host: str, port: int | None) -> None:
        """`NotAllowed` if this host must not be asked for. What a name leads to is to be checked then."""
        spelled = spelled_address(host)
        if spelled is not None:
            self.check_address(host, spelled, port, named=False)
            return
        name = host.rstrip(".").lower()
        if name.rpartition(".")[2][:1].isdigit():
            # A resolver may read 2130706433, 0x7f000001 or 127.1 as an address.
            raise NotAllowed(f"{host} is no host name: its last part begins with a digit")
        if not any(entry.covers(name) and port in entry.ports for entry in self._names):
            raise NotAllowed(f"{_where(host, port)} is not on the list of what may be probed")

    def check_address(self, host: str, ip: str | IP, port: int | None, *, named: bool) -> None:
        """`NotAllowed` if no connection to this address must be made. `named`: a listed name led to it."""
        address = ipaddress.ip_address(ip) if isinstance(ip, str) else ip
        for one in meanings(address):
            kind = never(one)
            said = f"{host} is {address}" if named else host
            if kind is not None:
                raise NotAllowed(f"{said}: {kind} addresses are never probed")
            if named and is_public(one):
                continue
            if not any(entry.covers(one) and port in entry.ports for entry in self._networks):
                raise NotAllowed(f"{said}: {_where(str(one), port)} is not on the list of what may be probed")


def spelled_address(host: str) -> IP | None:
    """The address that `host` spells out, its zone left away, or None if it is a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None


def meanings(address: IP) -> tuple[IP, ...]:
    """The addresses that a packet to this one may end up at: an IPv4 address inside an IPv6 one counts.

    A mapped address (RFC 4291 section 2.5.5.2) is IPv4 to the system and nothing else; NAT64 (RFC 6052), 6to4
    (RFC 3056), Teredo (RFC 4380) and compatible addresses are both.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    inner: list[IP] = []
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner.extend(address.teredo)
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return (address, *inner)


def never(address: IP) -> str | None:
    """What kind of address it is, if it is one that no list can allow."""
    return next((what for net, what in _NEVER if net.version == address.version and address in net), None)


def is_public(address: IP) -> bool:
    """Whether it is an address of the internet."""
    return never(address) is None and not any(
        net.version == address.version and address in net for net in _NOT_PUBLIC
    )


def holds_public(network: Network) -> bool:
    """Whether a network reaches beyond what is set apart for purposes other than the internet."""
    return not any(_inside(network, special) for special in _NOT_PUBLIC)


def wholly_never(network: Network) -> str | None:
    """What a network is, if none of its addresses can be allowed."""
    return next((what for net, what in _NEVER if _inside(network, net)), None)


def _inside(network: Network, outer: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and network.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and network.subnet_of(outer)


def _where(host: str, port: int | None) -> str:
    return host if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
