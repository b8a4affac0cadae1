"""A chain of routers in network namespaces: near - r1 - r2 … - far, IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.ping_lab import Lab


@dataclass(frozen=True)
class Slow:
    """A link with a delay each way in seconds; of what goes towards far every `lose`-th packet is lost."""

    delay: float
    lose: int = 0


@dataclass(frozen=True)
class Chain:
    """Link n lies before hop n; hop n answers with its address on that link."""

    lab: Lab
    nodes: tuple[str, ...]

    @property
    def hops(self) -> list[str]:
        """The address that each hop answers with, far's own last."""
        return [f"10.7.{link}.2" for link in range(1, len(self.nodes))]

    @property
    def hops6(self) -> list[str]:
        return [f"fd07:{link}::2" for link in range(1, len(self.nodes))]

    @property
    def far(self) -> str:
        return self.hops[-1]

    @property
    def far6(self) -> str:
        return self.hops6[-1]


def chain(lab: Lab, routers: int, *, slow: Mapping[int, Slow] | None = None, limited: bool = False) -> Chain:
    """Builds it. Routers answer every probe, unless they are `limited` as Linux is by default."""
    nodes = ("near", *(f"r{number}" for number in range(1, routers + 1)), "far")
    for node in nodes:
        lab.host(node, forward=node not in ("near", "far"))
        if not limited:
            lab.sysctl(node, "net.ipv4.icmp_ratemask", "0")
            lab.sysctl(node, "net.ipv6.icmp.ratelimit", "0")
    for link, (one, other) in enumerate(zip(nodes, nodes[1:], strict=False), start=1):
        near, far = f"10.7.{link}.1/24", f"10.7.{link}.2/24"
        kind = (slow or {}).get(link)
        if kind is None:
            lab.wire(one, near, other, far)
        else:
            lab.slow_wire(one, near, other, far, delay=kind.delay, lose=kind.lose)
        for node, peer, end in ((one, other, 1), (other, one, 2)):
            lab.run(node, "ip", "address", "add", f"fd07:{link}::{end}/64", "dev", f"to-{peer}")
    for place, node in enumerate(nodes):
        if place + 1 < len(nodes):
            lab.run(node, "ip", "route", "add", "default", "via", f"10.7.{place + 1}.2")
            lab.run(node, "ip", "-6", "route", "add", "default", "via", f"fd07:{place + 1}::2")
        for link in range(1, place):
            lab.run(node, "ip", "route", "add", f"10.7.{link}.0/24", "via", f"10.7.{place}.1")
            lab.run(node, "ip", "-6", "route", "add", f"fd07:{link}::/64", "via", f"fd07:{place}::1")
    return Chain(lab, nodes)


def silence(lab: Lab, router: str) -> None:
    """Makes a router pass packets on without ever a word of its own."""
    for family in ("-4", "-6"):
        lab.run(router, "ip", family, "rule", "add", "iif", "lo", "pref", "10", "blackhole")
