"""What happens on the way out while a probe runs: bytes through its interfaces, and changes of the way."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from ots.netio.attachment import netlink
from ots.netio.attachment.snapshot import LOOPBACK, way_out
from ots.probe import Route
from ots.schema.target import Target
from ots.stats.circumstances import Change, Passed

_GETLINK = 18
_NEWLINK, _DELLINK, _DELADDR, _DELROUTE = 16, 17, 21, 25
_LINK, _ADDRESS, _ROUTE = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=BBBBBBBBI")
_STATS64, _OIF, _TABLE = 23, 4, 15
_MAIN_TABLE = 254
_RUNNING = 0x40
_LINK_LOCAL = 253
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE (linux/rtnetlink.h)."""

_LOOKED_AT = 4
"""Targets whose way is looked at: those of a long list leave through the same few interfaces."""


class Surroundings:
    """Looks around from its making until `end`: some netlink messages at each end, and nothing between."""

    def __init__(self, targets: Sequence[Target], route: Route) -> None:
        self._targets, self._route = list(targets)[:_LOOKED_AT], route
        self._ways = self._look()
        self._interfaces = _indices(way[0] for way in self._ways if way is not None)
        self._events = _listen() if self._interfaces else None
        self._counted = _counted(self._interfaces.values())

    def end(self) -> Passed:
        """What has passed and changed since."""
        changes = [*self._happened()]
        for before, after in zip(self._ways, self._look(), strict=True):
            changes += _differences(before, after)
        now = _counted(self._interfaces.values())
        received = sent = None
        if self._counted is not None and now is not None:
            received, sent = (max(0, b - a) for a, b in zip(self._counted, now, strict=True))
        return Passed(received, sent, tuple(dict.fromkeys(changes)))

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def _look(self) -> list[tuple[str, str | None, str | None] | None]:
        return [
            None if way is None else (way.interface, way.gateway, way.source)
            for way in (way_out(target, self._route) for target in self._targets)
        ]

    def _happened(self) -> Iterable[Change]:
        """What the kernel reported of our interfaces, also where it has been mended since."""
        if self._events is None:
            return
        indices = set(self._interfaces.values())
        while True:
            try:
                data = self._events.recv(1 << 16, socket.MSG_DONTWAIT)
            except OSError:
                return
            for kind, payload in netlink.messages(data):
                change = _change(kind, payload, indices)
                if change is not None:
                    yield change


def _change(kind: int, payload: bytes, indices: set[int]) -> Change | None:
    """What a message says of these interfaces; None where it is nothing that a measurement would feel."""
    if kind in (_NEWLINK, _DELLINK):
        _family, _hardware, index, flags, _mask = _LINK.unpack_from(payload)
        lost = kind == _DELLINK or not flags & _RUNNING
        return "link_lost" if lost and index in indices else None
    if kind == _DELADDR:
        _family, _prefix, _flags, scope, index = _ADDRESS.unpack_from(payload)
        return "address" if index in indices and scope != _LINK_LOCAL else None
    if kind == _DELROUTE:
        fields = _ROUTE.unpack_from(payload)
        found = netlink.attributes(payload[_ROUTE.size :])
        table = netlink.number(found[_TABLE]) if _TABLE in found else fields[4]
        leaves_by = netlink.number(found[_OIF]) if _OIF in found else None
        default = fields[1] == 0 and table == _MAIN_TABLE
        return "gateway" if default and leaves_by in indices else None
    return None


def _differences(
    before: tuple[str, str | None, str | None] | None, after: tuple[str, str | None, str | None] | None
) -> list[Change]:
    if before is None or after is None:
        return [] if before is after else ["link_lost"]
    names: tuple[Change, ...] = ("interface", "gateway", "address")
    return [name for name, old, new in zip(names, before, after, strict=True) if old != new]


def _listen() -> socket.socket | None:
    """A socket that hears of changes; None where there is no netlink."""
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, netlink.ROUTE)
    except (AttributeError, OSError):
        return None
    try:
        sock.bind((0, _GROUPS))
    except OSError:
        sock.close()
        return None
    return sock


def _indices(names: Iterable[str]) -> Mapping[str, int]:
    """The kernel's numbers of interfaces, without the loopback: what passes there disturbs no link."""
    found = {}
    for name in names:
        if name != LOOPBACK:
            with suppress(OSError):
                found[name] = socket.if_nametoindex(name)
    return found


def _counted(indices: Iterable[int]) -> tuple[int, int] | None:
    """Bytes received and sent by these interfaces together; None if there are none, or one doesn't tell."""
    received = sent = 0
    known = False
    for index in indices:
        try:
            payloads = netlink.ask(netlink.ROUTE, _GETLINK, _LINK.pack(0, 0, index, 0, 0))
        except OSError:
            return None
        stats = netlink.attributes(payloads[0][_LINK.size :]).get(_STATS64, b"") if payloads else b""
        if len(stats) < 32:
            return None
        _packets, _sent_packets, came, went = struct.unpack_from("=4Q", stats)
        received, sent, known = received + came, sent + went, True
    return (received, sent) if known else None
