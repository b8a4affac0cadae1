"""How true round trips are while every core is busy: reported less tapped, on a path of two milliseconds.

Whose programs keep the cores busy decides how long a tool waits for the processor once its reply is there, as
the kernel shares the time out by sessions first (autogroups, sched(7)). A script that does other work beside
the tool it has started is of one session with it; what runs in other terminals and services is not, and then
the tool has a share of its own. Neither is always the harder one. So there is a row for each.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.child import run
from bench.contest import OURS, Contender, Contest, Goal, Reading
from bench.netns import Pair, mine, pair
from bench.product import measure
from ots.stats.distribution import percentile
from tests.lab.link import Way, emulator_command
from tests.lab.load import busy

_COUNT, _INTERVAL = 300, 0.01
_DEVICE, _NEAR, _FAR = "path", "10.48.1.1", "10.48.1.2"
_ONE_WAY = 0.001
_LIBRARY_NAME = "icmplib ping"
_LIBRARY = """
import sys, icmplib
host = icmplib.ping(sys.argv[1], count=int(sys.argv[2]), interval=float(sys.argv[3]), timeout=1)
print(*host.rtts)
"""

Tool = Callable[[Pair], list[float]]
"""Pings the far end and returns the round trips it reports, in seconds and the order of sending."""


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with pair(mine("rtt-near"), mine("rtt-far"), "10.48.0") as link, _path(link):
        yield [
            *_beside(link, "programs of its own session", strangers=False),
            *_beside(link, "other sessions", strangers=True),
        ]


def _beside(link: Pair, load: str, *, strangers: bool) -> Sequence[Contest]:
    """The contests beside one kind of load. The bound beside icmplib is for the load that it was set for."""
    tools: dict[str, Tool] = {"ping": _ping, "fping": _fping, _LIBRARY_NAME: _icmplib, OURS: _ots}
    taken: dict[str, deque[list[float]]] = {name: deque() for name in tools}
    work = (
        f"{_COUNT} echoes, one each {_INTERVAL * 1e3:g} ms, beside two spinning processes for each core, "
        + ("each in a session of its own" if strangers else "started as the tool is, in its session")
        + "; reported less tapped"
    )
    library = [] if strangers else [Goal(0.02, "at most", _LIBRARY_NAME)]
    return [
        Contest(
            area=f"ICMP round trip beside {load}: error, 99th percentile",
            work=f"{work}, absolute.",
            unit="µs",
            contenders=[
                Contender(name, _judged(link, tool, taken[name], strangers)) for name, tool in tools.items()
            ],
            goals=[Goal(60, "at most"), Goal(1.2, "at most", "fping"), *library],
            rounds=3,
        ),
        Contest(
            area=f"ICMP round trip beside {load}: error, median",
            work="The same runs; absolute value of the median.",
            unit="µs",
            contenders=[Contender(name, _again(errors, _bias)) for name, errors in taken.items()],
            goals=[Goal(30, "at most")],
            rounds=3,
        ),
    ]


def _p99(errors: Sequence[float]) -> float:
    return percentile(sorted(abs(error) for error in errors), 0.99)


def _bias(errors: Sequence[float]) -> float:
    return abs(statistics.median(errors))


def _again(taken: deque[list[float]], figure: Callable[[Sequence[float]], float]) -> Callable[[], Reading]:
    """Another figure of the runs that were made before, in their order."""
    return lambda: Reading(figure(taken.popleft()) * 1e6)


def _judged(link: Pair, tool: Tool, taken: deque[list[float]], strangers: bool) -> Callable[[], Reading]:
    def once() -> Reading:
        with (
            busy(strangers=strangers),
            subprocess.Popen(
                [*link.prefix, sys.executable, "-m", "bench.tap", _DEVICE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as tap,
        ):
            assert tap.stdout is not None
            if tap.stdout.readline().strip() != "ready":
                raise RuntimeError("the tap did not start")
            reported = tool(link)
            truth = json.loads(tap.communicate(timeout=30)[0])
        if len(reported) != _COUNT or len(truth) != _COUNT or not all(truth):
            raise RuntimeError(f"{len(reported)} round trips reported, {len(truth)} tapped, of {_COUNT}")
        errors = [told - true for told, true in zip(reported, truth, strict=True)]
        taken.append(errors)
        return Reading(_p99(errors) * 1e6)

    return once


def _ping(link: Pair) -> list[float]:
    program = shutil.which("ping") or "ping"
    done = run([*link.prefix, program, "-n", f"-i{_INTERVAL}", f"-c{_COUNT}", _FAR])
    return [float(value) / 1e3 for value in re.findall(r"time=([\d.]+) ms", done.output)]


def _fping(link: Pair) -> list[float]:
    program = shutil.which("fping") or "fping"
    done = run(
        [*link.prefix, program, "-q", f"-C{_COUNT}", f"-p{_INTERVAL * 1e3:.0f}", "-t1000", _FAR], ok=(0, 1)
    )
    return [float(value) / 1e3 for value in done.errors.rpartition(" : ")[2].split() if value != "-"]


def _icmplib(link: Pair) -> list[float]:
    done = run([*link.prefix, sys.executable, "-c", _LIBRARY, _FAR, str(_COUNT), str(_INTERVAL)])
    return [float(value) / 1e3 for value in done.output.split()]


def _ots(link: Pair) -> list[float]:
    measured = measure(
        ["ping", _FAR, "--count", str(_COUNT), "--interval", f"{_INTERVAL * 1e3:g} ms", "--timeout", "1 s"],
        prefix=link.prefix,
    )
    (series,) = [one for one in measured.step["series"] if one["key"] == "ping_rtt_seconds"]
    ordered = sorted(zip(series["t"], series["v"], strict=True))
    return [value for _, value in ordered if value is not None]


@contextmanager
def _path(link: Pair) -> Iterator[None]:
    """A link of `_ONE_WAY` seconds between the namespaces, beside the wire."""
    way = Way(delay=_ONE_WAY)
    command = emulator_command((link.near_name, _DEVICE), (link.far_name, _DEVICE), way, way)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            if emulator.stdout.readline().strip() != "ready":
                raise RuntimeError("the link did not come up")
            for do, address in ((link.near, _NEAR), (link.far, _FAR)):
                do("ip", "address", "add", f"{address}/24", "dev", _DEVICE)
                do("ip", "link", "set", _DEVICE, "up")
            yield
        finally:
            emulator.kill()
