"""Clocks of a process that a test sets, stops for a sleep, and lets run ahead (shifted_clock.c)."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.peers.require import require

_SOURCE = Path(__file__).with_suffix(".c")
_BUILD = Path(__file__).parents[2] / "build" / "tests"
_NUMBERS = struct.Struct("@qqq")
_SECOND = 1_000_000_000


class ShiftedClock:
    """The clocks of every process that is started with `environment`. `path` is a file of its own."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_NUMBERS.size))
        self.environment = {"LD_PRELOAD": str(_library()), "SHIFTED_CLOCK": str(path)}
        with path.open("r+b") as file:
            self._numbers = mmap.mmap(file.fileno(), _NUMBERS.size)

    def now(self) -> float:
        """What those processes take for the time, in seconds since 1970."""
        return time.time() + float(_NUMBERS.unpack_from(self._numbers)[0]) / _SECOND

    def set(self, wall: float) -> None:
        """Somebody sets the clock; no time passes."""
        self._move(wall - self.now(), 0.0, 0.0)

    def sleep(self, seconds: float) -> None:
        """The machine was suspended for so long: the monotonic clock stood still."""
        self._move(seconds, 0.0, seconds)

    def run_on(self, seconds: float) -> None:
        """So much time passes."""
        self._move(seconds, seconds, seconds)

    def _move(self, *by: float) -> None:
        found = _NUMBERS.unpack_from(self._numbers)
        moved = (old + round(more * _SECOND) for old, more in zip(found, by, strict=True))
        _NUMBERS.pack_into(self._numbers, 0, *moved)


@contextlib.contextmanager
def suspended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A session leader and all its processes stand still for as long as the block lasts."""
    stopped = _session(process.pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for pid in stopped:
            while _stat(pid)[0] not in ("T", "Z"):
                time.sleep(0.005)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _session(leader: int) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                if int(_stat(int(place.name))[3]) == leader:
                    found.append(int(place.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _library() -> Path:
    built = _BUILD / f"shifted_clock-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if not built.exists():
        _BUILD.mkdir(parents=True, exist_ok=True)
        fresh = built.with_suffix(f".{os.getpid()}")
        flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
        subprocess.run([require("gcc"), *flags, "-o", str(fresh), str(_SOURCE)], check=True)
        fresh.replace(built)
    return built
