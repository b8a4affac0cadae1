"""The network interfaces of this machine: what they are, their addresses and counters."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ots.netio.attachment import netlink

InterfaceType = Literal[
    "loopback", "ethernet", "wifi", "wwan", "ppp", "tunnel", "bridge", "vlan", "bond", "virtual", "other"
]

_GETLINK, _GETADDR = 18, 22
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_IFNAME, _MTU, _MASTER, _OPERSTATE, _LINKINFO, _STATS64 = 3, 4, 10, 16, 18, 23
_INFO_KIND = 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_FLAG_UP = 0x1
_TEMPORARY, _DEPRECATED, _TENTATIVE = 0x01, 0x20, 0x40

_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
_STATES = ("unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up")
_HARDWARE: Mapping[int, InterfaceType] = {
    1: "ethernet",
    512: "ppp",
    519: "wwan",
    768: "tunnel",
    769: "tunnel",
    772: "loopback",
    776: "tunnel",
    778: "tunnel",
    823: "tunnel",
}
"""ARPHRD_… of linux/if_arp.h: ppp, raw IP, ipip, ip6tnl, loopback, sit, gre, ip6gre."""

_KINDS: Mapping[str, InterfaceType] = {
    "wireguard": "tunnel",
    "tun": "tunnel",
    "xfrm": "tunnel",
    "vti": "tunnel",
    "vti6": "tunnel",
    "ipip": "tunnel",
    "sit": "tunnel",
    "gre": "tunnel",
    "gretap": "tunnel",
    "ip6tnl": "tunnel",
    "ip6gre": "tunnel",
    "vxlan": "tunnel",
    "geneve": "tunnel",
    "ovpn-dco": "tunnel",
    "ovpn": "tunnel",
    "ppp": "ppp",
    "bridge": "bridge",
    "vlan": "vlan",
    "bond": "bond",
    "team": "bond",
    "wwan": "wwan",
    "rmnet": "wwan",
    "veth": "virtual",
    "macvlan": "virtual",
    "ipvlan": "virtual",
    "dummy": "virtual",
    "ifb": "virtual",
}


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address; `scope` as the kernel has it: global, site, link, host. `temporary` is RFC 8981's."""

    ip: str
    prefix: int
    family: Literal["4", "6"]
    scope: str
    temporary: bool = False
    deprecated: bool = False
    tentative: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface. `state` is RFC 2863's operational state; counters are bytes since it came up.

    `speed` is the negotiated rate in bit/s, None where the driver tells none.
    """

    index: int
    name: str
    type: InterfaceType
    kind: str | None
    up: bool
    state: str
    mtu: int
    addresses: tuple[InterfaceAddress, ...]
    received_bytes: int | None
    sent_bytes: int | None
    speed: float | None


def interfaces() -> list[Interface]:
    """All interfaces, in the kernel's order. OSError where the kernel can't be asked."""
    links = netlink.ask(netlink.ROUTE, _GETLINK, _LINK.pack(0, 0, 0, 0, 0), dump=True)
    addresses = netlink.ask(netlink.ROUTE, _GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), dump=True)
    return parse_interfaces(links, addresses, Path("/sys/class/net"))


def parse_interfaces(links: list[bytes], addresses: list[bytes], sysfs: Path) -> list[Interface]:
    """Interfaces from the kernel's link and address messages; `sysfs` knows radio devices and speed."""
    by_index: dict[int, list[InterfaceAddress]] = {}
    for payload in addresses:
        index, address = parse_address(payload)
        if address is not None:
            by_index.setdefault(index, []).append(address)
    found = [parse_link(payload, sysfs) for payload in links]
    return [_with_addresses(link, tuple(by_index.get(link.index, ()))) for link in found]


def parse_address(payload: bytes) -> tuple[int, InterfaceAddress | None]:
    """(interface's index, address) of one message; None for a family that is not IP."""
    _family, prefix, flags, scope, index = _ADDRESS.unpack_from(payload)
    found = netlink.attributes(payload[_ADDRESS.size :])
    # On a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL ours.
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS) or b""
    if len(packed) not in (4, 16):
        return index, None
    if _IFA_FLAGS in found:
        flags = netlink.number(found[_IFA_FLAGS])
    is_v6 = len(packed) == 16
    return index, InterfaceAddress(
        ip=str(ipaddress.ip_address(packed)),
        prefix=prefix,
        family="6" if is_v6 else "4",
        scope=_SCOPES.get(scope, str(scope)),
        temporary=is_v6 and bool(flags & _TEMPORARY),  # the same bit means "secondary" in IPv4
        deprecated=bool(flags & _DEPRECATED),
        tentative=bool(flags & _TENTATIVE),
    )


def parse_link(payload: bytes, sysfs: Path) -> Interface:
    """One interface, still without addresses, from the kernel's message."""
    _family, hardware, index, flags, _change = _LINK.unpack_from(payload)
    found = netlink.attributes(payload[_LINK.size :])
    name = netlink.text(found.get(_IFNAME, b""))
    info = netlink.attributes(found.get(_LINKINFO, b""))
    kind = netlink.text(info[_INFO_KIND]) if _INFO_KIND in info else None
    state = netlink.number(found.get(_OPERSTATE, b"\0"))
    counters = struct.unpack_from("=4Q", found[_STATS64]) if len(found.get(_STATS64, b"")) >= 32 else None
    return Interface(
        index=index,
        name=name,
        type=_type(hardware, kind, sysfs / name),
        kind=kind,
        up=bool(flags & _FLAG_UP),
        state=_STATES[state] if state < len(_STATES) else "unknown",
        mtu=netlink.number(found.get(_MTU, b"\0")),
        addresses=(),
        received_bytes=counters[2] if counters else None,
        sent_bytes=counters[3] if counters else None,
        speed=_speed(sysfs / name),
    )


def _with_addresses(link: Interface, addresses: tuple[InterfaceAddress, ...]) -> Interface:
    return replace(link, addresses=addresses)


def _type(hardware: int, kind: str | None, device: Path) -> InterfaceType:
    if kind is not None and kind in _KINDS:
        return _KINDS[kind]
    if (device / "wireless").exists() or (device / "phy80211").exists():
        return "wifi"
    if _device_type(device) == "wwan":
        return "wwan"
    return _HARDWARE.get(hardware, "other")


def _device_type(device: Path) -> str | None:
    try:
        lines = (device / "uevent").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    return next((line.removeprefix("DEVTYPE=") for line in lines if line.startswith("DEVTYPE=")), None)


def _speed(device: Path) -> float | None:
    """The negotiated rate in bit/s; drivers without one give -1 or refuse to be read."""
    try:
        megabits = int((device / "speed").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return megabits * 1e6 if megabits > 0 else None
