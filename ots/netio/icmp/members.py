"""The addresses of a network that a sweep asks, counted and not stored."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal, overload

from ots.probe import Address

IPNetwork = IPv4Network | IPv6Network


def count(network: IPNetwork) -> int:
    """How many hosts a network can have.

    In IPv4 the first and the last address are none, but in a /31 (RFC 3021) and a /32; in IPv6 the first one
    is the routers' (RFC 4291, section 2.6.1), but in a /127 (RFC 6164) and a /128.
    """
    total = network.num_addresses
    return total if total <= 2 else total - (2 if network.version == 4 else 1)


class Members(Sequence[Address]):
    """A network's hosts in rising order, or a part of them.

    `low` is the first one's last 32 bits, `prefix` the bytes before.
    """

    def __init__(self, network: IPNetwork, scope: int = 0, part: range | None = None) -> None:
        """`part`: which of the hosts, by their numbers; all without."""
        self.network = network
        self.family: Literal["4", "6"] = "4" if network.version == 4 else "6"
        self.scope = scope
        chosen = range(count(network)) if part is None else part
        self._first = int(network.network_address) + (network.num_addresses > 2) + chosen.start
        self._count = len(chosen)
        self.low = self._first & 0xFFFFFFFF
        self.prefix = b"" if network.version == 4 else (self._first >> 32).to_bytes(12, "big")

    def part(self, start: int, stop: int) -> Members:
        """Those from number `start` to before `stop`; only of a network that is whole."""
        return Members(self.network, self.scope, range(start, stop))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Address: ...
    @overload
    def __getitem__(self, index: slice) -> list[Address]: ...
    def __getitem__(self, index: int | slice) -> Address | list[Address]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        ip = str(type(self.network.network_address)(self._first + index))
        return Address(ip, self.family, ip, 0.0, self.scope)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, Address):
            return False
        ip = ip_address(address.ip)
        return ip.version == self.network.version and 0 <= int(ip) - self._first < self._count
