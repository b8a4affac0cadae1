"""ICMP sockets: opening one that this user may have, its options, and reading it with kernel stamps.

icmplib opens the socket and tells a missing right from other trouble. Sending and receiving are done here:
every packet carries the kernel's own receive stamp and the stamp of its hand-over to the interface, so that
neither a busy event loop nor a busy processor stands in the measured time.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from icmplib import ICMPSocketError, ICMPv4Socket, ICMPv6Socket, SocketPermissionError

from ots.i18n import N_
from ots.netio.errors import classify
from ots.netio.icmp.errqueue import (
    ANCILLARY_BYTES,
    IP_RECVERR,
    IPV6_RECVERR,
    SO_TIMESTAMPING,
    SO_TIMESTAMPNS,
    Quoted,
    Sent,
    error_queue,
    seconds,
)
from ots.netio.icmp.packet import ECHO_REPLY, ERRORS
from ots.netio.icmp.packet_filter import attach, echo_filter
from ots.probe import Failed

SocketKind = Literal["raw", "datagram"]

REMEDY = N_(
    'Run as root, or `sudo sysctl net.ipv4.ping_group_range="0 2147483647"`, or '
    "`sudo setcap cap_net_raw+ep` on the Python program, or install iputils-ping."
)

# Linux numbers that the socket module does not name (asm-generic/socket.h, linux/in.h, linux/in6.h,
# linux/icmp.h, linux/icmpv6.h, linux/errqueue.h, linux/net_tstamp.h).
_SO_RCVBUFFORCE = 33
_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMP6_FILTER = 1
_IP_MTU_DISCOVER = 10
_IP_RECVTTL = 12
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_DONT, _PMTUDISC_DO = 0, 2
_SOFTWARE, _OPT_ID, _TX_SCHED, _OPT_TSONLY = 1 << 4, 1 << 7, 1 << 8, 1 << 11
_STAMP_SENDING = _TX_SCHED | _SOFTWARE | _OPT_ID | _OPT_TSONLY
"""Stamp where the packet enters the interface's queue, so that the time spent in that queue counts: with the
driver's own stamp (TX_SOFTWARE) a queue filled by an upload on this machine would vanish from the delay."""

_RECEIVE_BUFFER = 8 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """How every packet of a run leaves the machine."""

    ttl: int = 64
    dscp: int = 0
    df: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A packet as it came: `stamp` is the kernel's, on the wall clock, None where it made none."""

    packet: bytes
    source: str
    stamp: float | None
    ttl: int | None


class ICMPSocket:
    """One non-blocking ICMP socket of one family; close it, or use it as a context manager."""

    def __init__(self, family: Literal["4", "6"], kind: SocketKind, *, send_stamps: bool = True) -> None:
        """Raises `PermissionError` where this user may not have one, `Failed` for other trouble."""
        self.family = family
        self.kind = kind
        try:
            self._owner = (ICMPv4Socket if family == "4" else ICMPv6Socket)(privileged=kind == "raw")
        except SocketPermissionError as error:
            raise PermissionError(errno.EPERM, str(error)) from None
        except ICMPSocketError as error:
            cause = error.__context__
            raise classify(cause if isinstance(cause, OSError) else error, "connect") from None
        self.socket: socket.socket = self._owner.sock
        self.socket.setblocking(False)
        self._level = socket.IPPROTO_IP if family == "4" else socket.IPPROTO_IPV6
        self.kernel_receive_stamps = self._try(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.kernel_send_stamps = send_stamps and self._try(
            socket.SOL_SOCKET, SO_TIMESTAMPING, _STAMP_SENDING
        )
        if not self._try(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER):
            self._try(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._ask_for_hop_limit()
        if kind == "raw":
            self._filter()
        else:
            self._try(self._level, IP_RECVERR if family == "4" else IPV6_RECVERR, 1)

    def __enter__(self) -> ICMPSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._owner.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def ip_header(self) -> bool:
        """Whether received packets begin with their IP header."""
        return self.family == "4" and self.kind == "raw"

    def configure(self, options: Options) -> None:
        """Sets hop limit, traffic class and fragmentation for all that is sent from now on.

        Without `df` the bit is off for certain: the system's default would set it for path MTU discovery.
        """
        discover = _PMTUDISC_DO if options.df else _PMTUDISC_DONT
        sock = self.socket
        if self.family == "4":
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, options.ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, options.dscp << 2)
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, discover)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, options.ttl)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, options.dscp << 2)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, discover)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, int(options.df))

    def hear_only(self, identifier: int) -> None:
        """Lets the kernel drop replies to the echo requests of others, and what a sweep has no use for.

        To be called before anything is sent: what came until now is thrown away.
        """
        hop_limit = _IP_RECVTTL if self.family == "4" else socket.IPV6_RECVHOPLIMIT
        self._try(self._level, hop_limit, 0)
        if self.kind == "raw":
            attach(self.socket, echo_filter(self.family, identifier))
            for _ in self.receive():
                pass

    def restart_stamps(self) -> None:
        """Counts sent packets from 0 again: a send that failed may or may not have been counted."""
        if self.kernel_send_stamps:
            self._try(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)
            self._try(socket.SOL_SOCKET, SO_TIMESTAMPING, _STAMP_SENDING)

    def receive(self) -> Iterator[Received]:
        """All packets that wait; an error that the kernel reports here instead stands in `errors()` too."""
        while True:
            try:
                packet, ancillary, _, address = self.socket.recvmsg(65535 + 60, ANCILLARY_BYTES)
            except OSError:
                return
            stamp = ttl = None
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    stamp = seconds(data)
                elif (
                    level == self._level and kind in (socket.IP_TTL, socket.IPV6_HOPLIMIT) and len(data) >= 4
                ):
                    (ttl,) = struct.unpack_from("=i", data)
            yield Received(packet, address[0].partition("%")[0], stamp, ttl)

    def errors(self) -> Iterator[Quoted | Sent]:
        """All that waits in the error queue: transmit stamps, and ICMP errors on a datagram socket."""
        return error_queue(self.socket)

    def ask_for(self, level: int, option: int) -> bool:
        """Switches an option on that the measurement can do without; says whether the system has it."""
        return self._try(level, option, 1)

    def _ask_for_hop_limit(self) -> None:
        option = _IP_RECVTTL if self.family == "4" else socket.IPV6_RECVHOPLIMIT
        self._try(self._level, option, 1)

    def _filter(self) -> None:
        """Lets the kernel drop everything but replies and errors: also our own requests on loopback."""
        wanted = (ECHO_REPLY[self.family], *ERRORS[self.family])
        if self.family == "4":
            mask = 0xFFFFFFFF
            for kind in wanted:
                mask &= ~(1 << kind)
            self._try(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", mask))
        else:
            words = [0xFFFFFFFF] * 8
            for kind in wanted:
                words[kind >> 5] &= ~(1 << (kind & 31))
            self._try(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))

    def _try(self, level: int, option: int, value: int | bytes) -> bool:
        """Sets an option that the measurement can do without; says whether the system has it."""
        try:
            self.socket.setsockopt(level, option, value)
        except OSError:
            return False
        return True


def open_socket(
    family: Literal["4", "6"],
    wanted: Literal["auto", "raw", "datagram"],
    options: Options,
    *,
    send_stamps: bool = True,
    first: SocketKind = "raw",
) -> ICMPSocket:
    """The first kind of socket that this user may have, `first` before the other, configured. `Failed`, class
    `permission`, if none."""
    second: SocketKind = "datagram" if first == "raw" else "raw"
    kinds: tuple[SocketKind, ...] = (first, second) if wanted == "auto" else (wanted,)
    for kind in kinds:
        with suppress(PermissionError):
            opened = ICMPSocket(family, kind, send_stamps=send_stamps)
            try:
                opened.configure(options)
            except BaseException:
                opened.close()
                raise
            return opened
    raise Failed(
        "permission",
        "connect",
        "EPERM",
        f"no right to open a {' or '.join(kinds)} ICMP socket (IPv{family})",
        remedy=REMEDY,
    )


def allowed(family: Literal["4", "6"] = "4") -> SocketKind | None:
    """The kind of ICMP socket that this user may open, or None."""
    for kind in ("raw", "datagram"):
        with suppress(PermissionError, Failed):
            ICMPSocket(family, kind).close()
            return kind
    return None


def missing() -> str | None:
    """Why nothing here can send an echo request, or None if something can."""
    if allowed("4") or allowed("6"):
        return None
    program = shutil.which("ping")
    if program is None:
        return "no right to open an ICMP socket, and no ping program"
    if not gains_rights(program):
        return f"no right to open an ICMP socket, and {program} has none either"
    return None


def gains_rights(program: str) -> bool:
    """Whether a program gets rights that its user hasn't: by its set-user-id bit or by file capabilities."""
    if os.stat(program).st_mode & stat.S_ISUID:
        return True
    return sys.platform == "linux" and "security.capability" in os.listxattr(program)
