"""Packet filters of a socket (classic BPF, Linux): a program that the kernel runs over what arrives."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from ots.netio.icmp.packet import ECHO_REPLY

_SO_ATTACH_FILTER = 26

# Operations (linux/bpf_common.h, linux/filter.h).
_LOAD_BYTE, _LOAD_HALF, _LOAD_BYTE_AT_X, _LOAD_HALF_AT_X = 0x30, 0x28, 0x50, 0x48
_X_IS_IP_HEADER_LENGTH = 0xB1
_IF_EQUAL = 0x15
_RETURN = 0x06
_WHOLE = 0xFFFFFFFF


class Step(NamedTuple):
    """One instruction: an operation and its operand; and how many a comparison skips if it holds, or not."""

    operation: int
    operand: int
    skip_if_so: int = 0
    skip_if_not: int = 0


def echo_filter(family: Literal["4", "6"], identifier: int) -> Sequence[Step]:
    """Drops echo replies with another identifier, for a raw ICMP socket (IPv4: the IP header comes first)."""
    if family == "4":
        kind = [Step(_X_IS_IP_HEADER_LENGTH, 0), Step(_LOAD_BYTE_AT_X, 0)]
        own = Step(_LOAD_HALF_AT_X, 4)
    else:
        kind, own = [Step(_LOAD_BYTE, 0)], Step(_LOAD_HALF, 4)
    return [
        *kind,
        Step(_IF_EQUAL, ECHO_REPLY[family], 0, 2),
        own,
        Step(_IF_EQUAL, identifier, 0, 1),
        Step(_RETURN, _WHOLE),
        Step(_RETURN, 0),
    ]


def attach(sock: socket.socket, program: Sequence[Step]) -> None:
    """Filters what arrives from now on; without effect where the system has no such filters."""
    steps = b"".join(
        struct.pack("=HBBI", step.operation, step.skip_if_so, step.skip_if_not, step.operand)
        for step in program
    )
    block = ctypes.create_string_buffer(steps, len(steps))
    with suppress(OSError):
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(block))
        )
