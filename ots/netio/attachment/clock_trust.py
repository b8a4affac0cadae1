"""How far the wall clock can be trusted: the kernel's own view of it (adjtimex), and who keeps it."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ots.clock import rfc3339

_STA_UNSYNC, _STA_NANO = 0x0040, 0x2000
_TIME_ERROR = 5
_FIGURES = ("offset_seconds", "error_bound_seconds", "estimated_error_seconds")

_KEEPERS = {
    "systemd-timesyncd": Path("/run/systemd/timesync/synchronized"),
    "chrony": Path("/run/chrony"),
    "ntpd": Path("/run/ntpd.pid"),
    "ntpsec": Path("/run/ntpsec"),
}
"""What each daemon leaves in /run while it keeps the clock."""


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h; the tail is only there to be written to."""

    _fields_ = [
        ("modes", ctypes.c_int),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


@dataclass(frozen=True, slots=True)
class Discipline:
    """The kernel's clock discipline; times in seconds."""

    synchronised: bool
    offset: float
    max_error: float
    estimated_error: float


def read_discipline() -> Discipline:
    """Asks the kernel; OSError where it can't be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError, TypeError):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    timex = _Timex(modes=0)
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return interpret(state, timex.status, timex.offset, timex.max_error, timex.estimated_error)


def interpret(state: int, status: int, offset: int, max_error: int, estimated_error: int) -> Discipline:
    """The discipline from adjtimex's raw figures (microseconds; the offset in nanoseconds if it says so)."""
    return Discipline(
        synchronised=state != _TIME_ERROR and not status & _STA_UNSYNC,
        offset=offset / (1e9 if status & _STA_NANO else 1e6),
        max_error=max_error / 1e6,
        estimated_error=estimated_error / 1e6,
    )


def clock_trust(read: Callable[[], Discipline] = read_discipline) -> dict[str, Any]:
    """A report's clock record: a pair of wall and monotonic clock, who set the clock, and its error bound.

    `source` is `ntp` where a daemon keeps the kernel's clock disciplined, else `none`: then the offset is
    unknown, which is something else than zero.
    """
    wall, monotonic = time.time(), time.monotonic()
    record: dict[str, Any] = {
        "wall": rfc3339(wall),
        "monotonic": round(monotonic, 6),
        "source": "none",
        "keeper": None,
        "last_sync_age_seconds": None,
        "offset_seconds": None,
        "error_bound_seconds": None,
        "estimated_error_seconds": None,
        "zone": zone_name(),
        "utc_offset_minutes": time.localtime(wall).tm_gmtoff // 60,
    }
    nulls: dict[str, str] = {}
    try:
        discipline = read()
    except OSError as error:
        reason = f"unreadable:{errno.errorcode.get(error.errno or 0, 'unknown')}"
        nulls |= dict.fromkeys(_FIGURES, reason)
    else:
        if discipline.synchronised:
            record |= {
                "source": "ntp",
                "offset_seconds": discipline.offset,
                "error_bound_seconds": discipline.max_error,
                "estimated_error_seconds": discipline.estimated_error,
            }
        else:
            nulls |= dict.fromkeys(_FIGURES, "not_synchronised")
    record["keeper"] = keeper()
    record["last_sync_age_seconds"] = _sync_age(wall)
    for name, reason in (
        ("keeper", "none_found"),
        ("last_sync_age_seconds", "not_told"),
        ("zone", "not_configured"),
    ):
        if record[name] is None:
            nulls[name] = reason
    record["nulls"] = nulls
    return record


def keeper() -> str | None:
    """The daemon that keeps the clock, by what it leaves in /run."""
    return next((name for name, trace in _KEEPERS.items() if trace.exists()), None)


def _sync_age(wall: float) -> float | None:
    """Seconds since the last answer of a time server; timesyncd touches a file at each."""
    try:
        age = wall - _KEEPERS["systemd-timesyncd"].stat().st_mtime
    except OSError:
        return None
    return round(max(0.0, age), 3)


def zone_name(root: Path = Path("/")) -> str | None:
    """The IANA name of the machine's time zone."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if "/" in named and not named.startswith("/"):
        return named
    with suppress(OSError):
        _, found, name = os.readlink(root / "etc/localtime").rpartition("zoneinfo/")
        if found:
            return name
    try:
        return (root / "etc/timezone").read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
