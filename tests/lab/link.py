"""Two network namespaces joined by a link whose properties are known. Needs root and a C compiler.

`Link` is the emulator: everything can be set, up to a few hundred Mbit/s. `Wire` is a veth pair with the
kernel's token bucket at both ends: a rate and a queue only, up to gigabits. Both have the same outside.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from bench.netns import do, pair

_SOURCE = Path(__file__).with_name("emulator.c")
_BUILD = Path(__file__).parents[2] / "build" / "lab"
_NUMBERS = itertools.count()
_AHEAD = Path(__file__).with_name("ahead.py")
_SEND_BUFFER = "4096 65536 33554432"
"""Least, first and largest size in bytes (tcp(7), tcp_wmem)."""
_LATE = 4e-3
"""Seconds by which the bucket's timer may be late on a busy processor without the wire losing any."""
CONGESTION_CONTROL = "cubic"
"""Linux's own default."""

UP, DOWN = 0, 1
"""Directions as books and logs number them: from the near end to the far one, and back."""


class Fate(NamedTuple):
    """One packet in the emulator's log. Times in seconds on the monotonic clock; `left` None: it did not."""

    direction: int
    arrived: float
    left: float | None
    fate: str
    length: int
    protocol: int
    icmp_type: int
    icmp_id: int
    icmp_sequence: int
    tcp_ports: int
    tcp_sequence: int
    tcp_payload: int


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the two ends are: a probe runs at the near one, servers at the far one."""

    near: str
    far: str
    near_address: str
    far_address: str
    ahead: bool = field(default=False, kw_only=True)
    """Programs at both ends run before others of this machine."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command is put behind to run at the near end."""
        return (*self._priority, "ip", "netns", "exec", self.near)

    @property
    def far_prefix(self) -> tuple[str, ...]:
        return (*self._priority, "ip", "netns", "exec", self.far)

    @property
    def _priority(self) -> tuple[str, ...]:
        return (sys.executable, "-I", "-S", str(_AHEAD)) if self.ahead else ()


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of an emulated link.

    `rate` in bit/s of IP packets (0: none) behind a queue of so many bytes; `delay` seconds, plus uniformly 0
    to `jitter`; probabilities of `loss` (from 1 on: every so many-th is lost), of being held back for `hold`
    seconds (`reorder`) and of coming twice (`duplicate`).
    """

    rate: float = 0
    queue: int = 1 << 20
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    hold: float = 0.0
    duplicate: float = 0.0

    @property
    def words(self) -> tuple[str, ...]:
        """As the emulator wants it."""
        return (
            *(str(self.rate), str(self.queue), f"{self.delay * 1e9:.0f}", f"{self.jitter * 1e9:.0f}"),
            *(str(self.loss), str(self.reorder), f"{self.hold * 1e9:.0f}", str(self.duplicate)),
        )


def emulator_command(
    near: tuple[str, str], far: tuple[str, str], up: Way, down: Way, *, log: str = os.devnull, seed: int = 1
) -> list[str]:
    """The command that joins two ends, each a namespace and the name of a device that it makes there.

    It says `ready`, and runs until its standard input ends.
    """
    return [str(emulator()), *near, *far, log, str(seed), *up.words, *down.words]


@dataclass(frozen=True, slots=True)
class EmulatedLink(Ends):
    """A running emulator."""

    process: subprocess.Popen[str]
    log: Path

    def books(self) -> Sequence[dict[str, int]]:
        """Counts of each direction so far; what is in the log is complete up to this moment."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("books\n")
        self.process.stdin.flush()
        return list(json.loads(self.process.stdout.readline()))

    def fates(self) -> list[Fate]:
        """Every packet so far, in the order in which they left or were dropped."""
        self.books()
        # Packets go on passing: what is written after this moment may end in the middle of a line.
        whole, _, _ = self.log.read_text("ascii").rpartition("\n")
        return [
            Fate(
                int(row[0]),
                int(row[1]) / 1e9,
                int(row[2]) / 1e9 or None,
                row[3],
                *(int(field) for field in row[4:]),
            )
            for row in csv.reader(whole.splitlines())
        ]


@contextmanager
def link(
    *,
    rate_down: float = 0,
    rate_up: float = 0,
    delay: float = 0.0,
    jitter: float = 0.0,
    loss: float = 0.0,
    reorder: float = 0.0,
    hold: float = 0.0,
    duplicate: float = 0.0,
    queue: int = 1 << 20,
    seed: int = 1,
    congestion_control: str = CONGESTION_CONTROL,
) -> Iterator[EmulatedLink]:
    """An emulated link: rates each way, the rest is the same both ways, as in `Way`; and how TCP at both ends
    keeps from flooding it."""
    number = next(_NUMBERS)
    names = [f"ots-lab-{os.getpid()}-{number}-{end}" for end in ("near", "far")]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in names:
            do("ip", "netns", "add", name)
            stack.callback(do, "ip", "netns", "del", name)
            do("ip", "-n", name, "link", "set", "lo", "up")
        same = Way(delay=delay, jitter=jitter, loss=loss, reorder=reorder, hold=hold, duplicate=duplicate)
        up, down = (replace(same, rate=rate, queue=queue) for rate in (rate_up, rate_down))
        process = subprocess.Popen(
            emulator_command(
                (names[0], "line"), (names[1], "line"), up, down, log=str(folder / "log"), seed=seed
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(_end, process)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the link emulator did not start")
        addresses = ("10.77.0.1", "10.77.0.2")
        for name, own, other in zip(names, addresses, reversed(addresses), strict=True):
            do("ip", "-n", name, "address", "add", own, "peer", other, "dev", "line")
            do("ip", "-n", name, "link", "set", "line", "mtu", "1500", "txqueuelen", "10000", "up")
            _route(name, "line", own, other, congestion_control)
        yield EmulatedLink(names[0], names[1], addresses[0], addresses[1], process, folder / "log")


@contextmanager
def wire(*, rate_down: float, rate_up: float, queue: float = 0.05) -> Iterator[Ends]:
    """A veth pair with a token bucket each way; rates in bit/s of Ethernet frames, `queue` in seconds."""
    number = next(_NUMBERS)
    names = [f"ots-lab-{os.getpid()}-{number}-{end}" for end in ("near", "far")]
    with pair(names[0], names[1], "10.78.0") as made:
        addresses = (made.near_address, made.far_address)
        for name, own, other in zip(names, addresses, reversed(addresses), strict=True):
            _route(name, "wire", own, other, CONGESTION_CONTROL)
            _roomy(name)
        for run, rate in ((made.near, rate_up), (made.far, rate_down)):
            burst = max(16_000, int(rate / 8 * _LATE))
            limit = int(rate / 8 * queue) + burst
            run(
                *("tc", "qdisc", "add", "dev", "wire", "root", "tbf", "rate", f"{rate:.0f}bit"),
                *("burst", str(burst), "limit", str(limit)),
            )
        yield Ends(names[0], names[1], made.near_address, made.far_address)


def _route(namespace: str, device: str, own: str, other: str, congestion_control: str) -> None:
    """The way to the other end, with TCP's congestion control: else it is whatever this machine prefers."""
    way = ("route", "replace", f"{other}/32", "dev", device, "src", own, "congctl", congestion_control)
    do("ip", "-n", namespace, *way)


def _roomy(namespace: str) -> None:
    """Send buffers that hold more than the queue: then a sender that is late leaves no gap on the wire."""
    do("ip", "netns", "exec", namespace, "sh", "-c", f'echo "{_SEND_BUFFER}" > /proc/sys/net/ipv4/tcp_wmem')


def emulator() -> Path:
    """The compiled emulator, compiled if its source has changed. RuntimeError where there is no compiler."""
    built = _BUILD / f"emulator-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}"
    if not built.exists():
        _BUILD.mkdir(parents=True, exist_ok=True)
        fresh = built.with_suffix(f".{os.getpid()}")
        do("gcc", "-O2", "-Wall", "-o", str(fresh), str(_SOURCE))
        fresh.replace(built)
    return built


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
