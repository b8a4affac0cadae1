"""An entry of a policy's target lists: `203.0.113.0/24`, `192.0.2.7:443`, `*.example.net:80-90`, `public`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ots.policy.address import Address, Network, readings

PUBLIC = "public"
"""Every address of the internet."""
ANY = "any"
"""Every address at all; only for what a person at this machine planned."""

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class BadPattern(ValueError):
    """The text is no entry of a target list; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`network` or `name` is set, or neither: then `text` is `public` or `any`. `ports` are the first and the
    last that it means, None for all of them and for what has none, such as ICMP."""

    text: str
    network: Network | None = None
    name: str | None = None
    ports: tuple[int, int] | None = None

    def fits_port(self, port: int | None) -> bool:
        """Whether it means this port. None, a port not known yet, fits: it is asked again with the port."""
        return self.ports is None or port is None or self.ports[0] <= port <= self.ports[1]

    def fits_address(self, address: Address, port: int | None) -> bool:
        """Whether its network holds the address, or the IPv4 address that this one carries."""
        if self.network is None or not self.fits_port(port):
            return False
        return any(
            each.version == self.network.version and each in self.network for each in readings(address)
        )

    def fits_name(self, name: str, port: int | None) -> bool:
        if self.name is None or not self.fits_port(port):
            return False
        wanted = name.lower().rstrip(".")
        return fnmatchcase(wanted, self.name)

    def holds(self, network: Network) -> bool:
        """Whether the whole network lies in this entry's own."""
        if self.network is None or self.ports is not None:
            return False
        if isinstance(network, ipaddress.IPv4Network):
            return isinstance(self.network, ipaddress.IPv4Network) and network.subnet_of(self.network)
        return isinstance(self.network, ipaddress.IPv6Network) and network.subnet_of(self.network)


def parse_pattern(text: str) -> Pattern:
    """One entry. BadPattern says what is wrong."""
    if text in (PUBLIC, ANY):
        return Pattern(text)
    host, ports = _split(text)
    try:
        return Pattern(text, network=ipaddress.ip_network(host), ports=ports)
    except ValueError as error:
        if "host bits" in str(error):
            raise BadPattern(f"{text!r}: {host} has bits set behind its prefix") from None
    if re.fullmatch(r"[0-9./]+", host) or not _NAME.fullmatch(host.lower()):
        raise BadPattern(
            f"{text!r} is no entry: write public, a network (198.51.100.0/24), an address or a name "
            "(*.example.net), with :PORT or :FIRST-LAST behind it if need be"
        )
    return Pattern(text, name=host.lower(), ports=ports)


def _split(text: str) -> tuple[str, tuple[int, int] | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadPattern(f"{text!r}: write an IPv6 address with a port as [2001:db8::/32]:443")
        return host, _ports(text, rest[1:]) if rest else None
    if text.count(":") != 1:
        return text, None
    host, _, ports = text.partition(":")
    return host, _ports(text, ports)


def _ports(text: str, ports: str) -> tuple[int, int]:
    match = _PORTS.fullmatch(ports)
    if match is None:
        raise BadPattern(f"{text!r}: {ports!r} is no port and no range of ports (443, 8000-8099)")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65535:
        raise BadPattern(f"{text!r}: a port lies between 1 and 65535")
    return first, last
