"""Where this machine is attached to the network: what a report's context says, and what `ots link` shows."""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ots.config import Settings
from ots.model.report import Context
from ots.netio.attachment.clock_trust import clock_trust
from ots.netio.attachment.interface import Interface, InterfaceAddress, interfaces
from ots.netio.attachment.machine import LoadMeter, device
from ots.netio.attachment.routing import Way, default_way, way_to
from ots.netio.attachment.wifi import wifi
from ots.netio.dns.servers import name_servers
from ots.probe import Route
from ots.schema.target import Target

__all__ = ["clock_trust", "egress", "egress_interface", "is_this_machine", "network", "observer", "snapshot"]

LOOPBACK = "lo"
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_NOT_LOOKED_FOR = {
    "public_address": "not_asked",
    "asn": "not_asked",
    "nat_type": "not_measured",
    "metered": "not_told_by_system",
}


def observer(settings: Settings, targets: Iterable[Target] = ()) -> Callable[[float], Awaitable[Context]]:
    """A function that says where the machine is attached, for a report's contexts.

    It tells of the loopback if all targets are this machine, else of the interface that the settings name,
    else of the one through which all targets with a literal address are reached, else of the default route's.
    """
    common = _common_egress(targets)
    interface = common if common == LOOPBACK else settings.interface or common
    key = settings.agent_id.encode()
    machine = device()
    meter = LoadMeter()

    async def observe(t: float) -> Context:
        return snapshot(t, interface, key, machine, meter)

    return observe


def snapshot(
    t: float,
    interface: str | None,
    key: bytes,
    machine: tuple[dict[str, Any], dict[str, str]],
    meter: LoadMeter,
) -> Context:
    """The context of this moment. `key` blinds the names of Wi-Fi networks. Takes about two milliseconds."""
    links = _links()
    attached, missing = network(links, interface, key)
    load, unknown = meter.read()
    link = _named(links, attached["interface"])
    load["received_bytes"] = link.received_bytes if link else None
    load["sent_bytes"] = link.sent_bytes if link else None
    facts, absent = machine
    nulls = {"radio": "no_radio_support", "position": "no_receiver"}
    if link is None:
        unknown |= {"received_bytes": "no_interface", "sent_bytes": "no_interface"}
    for section, reasons in (("device", absent), ("network", missing), ("load", unknown)):
        nulls |= {f"{section}.{name}": reason for name, reason in reasons.items()}
    return Context(t=t, device=facts, network=attached, radio=None, position=None, load=load, nulls=nulls)


def network(
    links: list[Interface], interface: str | None, key: bytes
) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts of one interface (None: the default route's) and the reason of each that is missing."""
    ways = {family: default_way(family) for family in ("4", "6")}
    name = interface or _first_interface(ways.values()) or _only_interface(links)
    link = _named(links, name)
    gateways = [
        {"family": family, "address": way.gateway}
        for family, way in ways.items()
        if way is not None and way.interface == name and way.gateway is not None
    ]
    tunnels = [other.name for other in links if other.up and other.type in ("tunnel", "ppp")]
    facts: dict[str, Any] = {
        "interface": name,
        "type": link.type if link else None,
        "state": link.state if link else None,
        "mtu": link.mtu if link else None,
        "speed_bits_per_second": link.speed if link else None,
        "addresses": [_address(entry) for entry in link.addresses] if link else [],
        "gateway": gateways,
        "dns": name_servers(),
        "proxy": proxy_variables(),
        "vpn": tunnels,
        "wifi": None,
        **dict.fromkeys(_NOT_LOOKED_FOR),
    }
    nulls = dict(_NOT_LOOKED_FOR)
    if link is None:
        nulls |= dict.fromkeys(("type", "state", "mtu", "speed_bits_per_second", "wifi"), "no_interface")
        if name is None:
            nulls["interface"] = "no_route"
        return facts, nulls
    if link.speed is None:
        nulls["speed_bits_per_second"] = "not_told_by_driver"
    if link.type != "wifi":
        nulls["wifi"] = "not_wifi"
    else:
        try:
            facts["wifi"] = wifi(link.index, key)
            silent = (name for name, value in facts["wifi"].items() if value is None)
            nulls |= {f"wifi.{name}": "not_told_by_driver" for name in silent}
        except OSError as error:
            nulls["wifi"] = f"unreadable:{errno.errorcode.get(error.errno or 0, 'unknown')}"
    return facts, nulls


async def egress(target: Target, route: Route) -> str:
    """The interface towards a target, for the lock on a link.

    A name is not looked up, for that would fill caches just before a lookup is measured: it counts as reached
    through the default route.
    """
    way = way_out(target, route)
    return "none" if way is None else way.interface


def way_out(target: Target, route: Route) -> Way | None:
    """The way towards a target, None if there is none; a name that is not looked up goes the default way."""
    if route.interface is not None:
        return Way(route.interface, None, route.source)
    address = target.host if target.network is None else str(target.network.network_address)
    if is_this_machine(address):
        return Way(LOOPBACK, None, None)
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        family = "6" if route.family == "6" or ":" in (route.source or "") else "4"
        return default_way(family) or default_way("6" if family == "4" else "4")
    try:
        return way_to(address)
    except OSError:
        return None


def egress_interface(ip: str) -> str:
    """The interface through which the kernel would send to this address; OSError if there is no way."""
    return way_to(ip).interface


def is_this_machine(host: str) -> bool:
    """Whether a target's host is the loopback, by name (RFC 6761) or by address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def proxy_variables() -> list[str]:
    """The proxy variables that are set; their values may hold passwords and stay here."""
    return [name for name in _PROXY_VARIABLES if os.environ.get(name) or os.environ.get(name.upper())]


def _common_egress(targets: Iterable[Target]) -> str | None:
    found = set()
    for target in targets:
        try:
            found.add(LOOPBACK if is_this_machine(target.host) else egress_interface(target.host))
        except (OSError, ValueError):
            continue
    return found.pop() if len(found) == 1 else None


def _links() -> list[Interface]:
    try:
        return interfaces()
    except OSError:
        return []


def _named(links: list[Interface], name: str | None) -> Interface | None:
    return next((link for link in links if link.name == name), None)


def _first_interface(ways: Iterable[Way | None]) -> str | None:
    return next((way.interface for way in ways if way is not None), None)


def _only_interface(links: list[Interface]) -> str | None:
    """Without a default route: the first interface with an address of its own, else the loopback."""
    addressed = [link for link in links if link.up and link.addresses]
    outside = [link for link in addressed if link.type != "loopback"]
    return next((link.name for link in outside + addressed), None)


def _address(entry: InterfaceAddress) -> dict[str, Any]:
    return {
        "address": entry.ip,
        "prefix": entry.prefix,
        "family": entry.family,
        "scope": entry.scope,
        "temporary": entry.temporary,
    }
