"""Whether the clocks of client and responder can be compared, and how well."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ots.netio.attachment.clock_trust import read_discipline
from ots.netio.udp_echo.wire import Acceptance

_UNKNOWN = -1.0

Relation = Literal["same", "synchronised", "unsynchronised"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`offset` brings the responder's monotonic clock onto ours; `error` bounds its error, None if nothing is
    known of it. Both in seconds."""

    relation: Relation
    offset: float
    error: float | None


def identity(nonce: bytes) -> bytes:
    """Eight bytes that two processes on one running kernel have in common, and that name it to nobody else.

    The boot's random number with the namespace of time, hashed with a nonce; random where Linux's files are
    missing, which matches nobody's.
    """
    boot, namespace = b"", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        namespace = os.readlink("/proc/self/ns/time")
    if not boot:
        return os.urandom(8)
    return hashlib.sha256(boot + namespace.encode() + nonce).digest()[:8]


def wall_clock_error() -> float:
    """The bound of our wall clock's error in seconds, negative where nobody keeps it."""
    try:
        discipline = read_discipline()
    except OSError:
        return _UNKNOWN
    return discipline.max_error if discipline.synchronised else _UNKNOWN


def compare(acceptance: Acceptance, nonce: bytes, wall_offset: float) -> Comparison:
    """Relates the responder's clock to ours, whose wall clock is `wall_offset` ahead of its monotonic one."""
    if acceptance.clock == identity(nonce):
        return Comparison("same", 0.0, 0.0)
    offset, own = acceptance.wall_offset - wall_offset, wall_clock_error()
    if own < 0 or acceptance.clock_error < 0:
        return Comparison("unsynchronised", offset, None)
    return Comparison("synchronised", offset, own + acceptance.clock_error)
