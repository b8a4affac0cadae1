"""A UDP socket whose packets carry the kernel's stamps."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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

_IP_PKTINFO = 8
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
# Numbers of linux/in.h and linux/in6.h that not every build of the socket module has.

_SOFTWARE, _OPT_ID, _TX_SCHED, _OPT_TSONLY = 1 << 4, 1 << 7, 1 << 8, 1 << 11
_STAMP_SENDING = _TX_SCHED | _SOFTWARE | _OPT_ID | _OPT_TSONLY
"""Stamps at the interface's queue, so that the time spent in it counts (linux/net_tstamp.h)."""

_BUFFER = 4 << 20

_REPORTS = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
"""An ICMP error about an earlier packet, told once in place of data."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """What arrived: `stamp` is the kernel's on the wall clock, `info` on which of our addresses."""

    data: bytes
    source: Any
    stamp: float | None
    info: tuple[int, int, bytes] | None


class StampedSocket:
    """Wraps a non-blocking UDP socket, which stays the caller's."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._six = sock.family == socket.AF_INET6
        self.kernel_send_stamps = False
        self._try(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._try(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask_for_sending(self) -> None:
        """From now on `errors()` has a stamp of each packet sent, and the ICMP errors about them."""
        level, option = (socket.IPPROTO_IPV6, IPV6_RECVERR) if self._six else (socket.IPPROTO_IP, IP_RECVERR)
        self._try(level, option, 1)
        self.kernel_send_stamps = self._try(socket.SOL_SOCKET, SO_TIMESTAMPING, _STAMP_SENDING)

    def stop_stamps(self) -> None:
        """Back to a socket that is readable only when data waits: no more stamps of sending, none left."""
        self.kernel_send_stamps = False
        self._try(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)
        for _ in self.errors():
            pass

    def restart_stamps(self) -> None:
        """Counts sent packets from 0 again: a send that failed may or may not have been counted."""
        if self.kernel_send_stamps:
            self._try(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)
            self._try(socket.SOL_SOCKET, SO_TIMESTAMPING, _STAMP_SENDING)

    def ask_for_destination(self) -> None:
        """From now on each datagram says to which of our addresses it came."""
        if self._six:
            self._try(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            self._try(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def receive(self) -> Iterator[Datagram]:
        """All that waits. An error that the kernel reports here in place of data stands in `errors()` too."""
        while True:
            try:
                data, ancillary, _, source = self.socket.recvmsg(65535, ANCILLARY_BYTES)
            except OSError as error:
                if error.errno in _REPORTS:
                    continue
                return
            stamp, info = None, None
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    stamp = seconds(value)
                elif (level, kind) in (
                    (socket.IPPROTO_IP, _IP_PKTINFO),
                    (socket.IPPROTO_IPV6, _IPV6_PKTINFO),
                ):
                    info = (level, kind, value)
            yield Datagram(data, source, stamp, info)

    def answer(self, datagram: Datagram, data: bytes) -> None:
        """Sends to where a datagram came from, from the address to which it came; OSError if it can't."""
        ancillary = []
        if datagram.info is not None:
            level, kind, value = datagram.info
            # in_pktinfo is index, our address, destination; in6_pktinfo is our address, index.
            unbound = value[:16] + bytes(4) if self._six else bytes(4) + value[4:8] + bytes(4)
            ancillary = [(level, kind, unbound)]
        self.socket.sendmsg([data], ancillary, 0, datagram.source)

    def errors(self) -> Iterator[Quoted | Sent]:
        """All that waits in the error queue."""
        return error_queue(self.socket)

    def _try(self, level: int, option: int, value: int) -> bool:
        with suppress(OSError):
            self.socket.setsockopt(level, option, value)
            return True
        return False
