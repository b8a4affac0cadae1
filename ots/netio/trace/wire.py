"""What a trace sends with and hears by, whatever the protocol of its probes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ots.netio.icmp.stream import Refusal
from ots.probe import Address

Meaning = Literal["reply", "on the way", "refused", "too big"]

MOST_PROBES = 1 << 16
"""Probes of one run: their number has 16 bits."""

MOST_READ = 512
"""Packets read at once from a socket, so that a flood of strangers' can't hold up our own sending."""

_TIME_EXCEEDED = {"4": (11, 0), "6": (3, 0)}
_TOO_BIG = {"4": (3, 4), "6": (2, 0)}
_PORT_UNREACHABLE = {"4": (3, 3), "6": (1, 4)}
_UNREACHABLE = {"4": 3, "6": 1}
_SIGNS: dict[str, dict[int, str]] = {
    "4": {0: "!N", 1: "!H", 2: "!P", 3: "!p", 5: "!S", 9: "!X", 10: "!X", 13: "!X", 14: "!V", 15: "!C"},
    "6": {0: "!N", 1: "!X", 2: "!S", 3: "!H", 4: "!p", 5: "!X", 6: "!X"},
}
"""How traceroute signs that a router refuses, by the code of "destination unreachable"."""

_TRIES = 4
_NO_ROOM = (errno.ENOBUFS, errno.EAGAIN)


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer to a probe: from whom, and what it means.

    `number` is None where a router quotes too little to tell which probe it answers. `stamp` is the kernel's
    receive stamp on the wall clock. `sign` is traceroute's for a refusal (`!N`, `!X` …), `told` the words and
    the ICMP numbers of an error, `size` the bytes that arrived, as far as known.
    """

    number: int | None
    address: str
    meaning: Meaning
    stamp: float | None = None
    sign: str = ""
    told: str = ""
    mtu: int = 0
    labels: str = ""
    size: int = 0


class Wire(Protocol):
    """A flow of probes: all have the same addresses, protocol and ports, and whatever else routers choose a
    path by; only hop limit and number differ."""

    destination: Address
    socket_kind: str
    protocol: str

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What to wait for."""
        ...

    def send(self, number: int, ttl: int, size: int | None = None) -> int:
        """Sends a probe and returns the bytes of its IP packet; `size` asks for so many. Raises `OSError`."""
        ...

    def hear(self) -> Iterator[Heard]:
        """The answers that wait."""
        ...

    def close(self) -> None: ...


class SizedWire(Wire, Protocol):
    """A flow whose probes can have any size, so that it finds the path's MTU; a SYN has none to choose."""

    def forbid_fragments(self) -> None:
        """Sets DF from now on, whatever this machine has heard of the path's MTU (RFC 8899)."""
        ...


def meaning_of(
    kind: int, code: int, offender: str, destination: Address, *, port_means_arrival: bool
) -> tuple[Meaning, str, str] | None:
    """What an ICMP error says of a probe: meaning, sign and words; None if nothing of the path.

    A closed port is the destination's own answer where the probe asked for a port, from whichever of its
    addresses it comes. So is anything else that comes from the destination: the probe got there.
    """
    family = destination.family
    if (kind, code) == _TIME_EXCEEDED[family]:
        return "on the way", "", ""
    if (kind, code) == _TOO_BIG[family]:
        return "too big", "", ""
    if kind != _UNREACHABLE[family]:
        return None
    if offender == destination.ip or (port_means_arrival and (kind, code) == _PORT_UNREACHABLE[family]):
        return "reply", "", ""
    sign = _SIGNS[family].get(code, f"!{code}")
    protocol = "ICMP" if family == "4" else "ICMPv6"
    words = Refusal(0, family, kind, code, offender).meaning()
    return "refused", sign, f"{words} ({protocol} {kind}/{code})"


def send_despite_news(sock: socket.socket, send: Callable[[], object]) -> None:
    """Calls `send`; an ICMP error that came for an earlier packet is not taken for trouble with this one.

    The kernel reports such an error at the next call on a socket with IP_RECVERR (ip(7)); it stands in the
    error queue all the same.
    """
    for attempt in range(_TRIES):
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        try:
            send()
            return
        except OSError as error:
            if error.errno in (*_NO_ROOM, errno.EMSGSIZE) or attempt == _TRIES - 1:
                raise


def set_hop_limit(sock: socket.socket, ttl: int) -> None:
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3


def forbid_fragments(sock: socket.socket) -> None:
    """DF on every packet, up to the interface's MTU (IP_PMTUDISC_PROBE, ip(7))."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, 1)


def local_address(destination: Address, sock: socket.socket) -> str:
    """The source address that the kernel takes for packets to the destination from this socket's binding."""
    bound = sock.getsockname()[0]
    if bound not in ("0.0.0.0", "::", ""):
        return str(bound)
    with socket.socket(sock.family, socket.SOCK_DGRAM) as trial:
        device = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        if device.rstrip(b"\0"):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        trial.connect(destination.sockaddr(9))
        return str(trial.getsockname()[0])
