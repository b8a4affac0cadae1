"""Where a page may lead: one on a public address can't make us knock at the doors of our own network."""

from __future__ import annotations

import ipaddress

from ots.probe import Failed

PRIVATE = "PRIVATE_ADDRESS"

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(ip: str) -> bool:
    """Whether an address is one of the internet; an IPv4 address inside an IPv6 one counts for it."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global
    return address.is_global


class Reach:
    """The first address decides: a page in a private network may use that network."""

    def __init__(self) -> None:
        self._public: bool | None = None

    def check(self, host: str, ip: str) -> None:
        """`Failed` if a public page leads to this address and it is not public."""
        public = is_public(ip)
        if self._public is None:
            self._public = public
        if self._public and not public:
            raise Failed(
                "rejected",
                "resolve",
                PRIVATE,
                f"{host} is {ip}: a public page must not lead to a private address",
            )
