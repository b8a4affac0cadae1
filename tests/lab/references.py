"""Reference tools: run at the near end of a link, their figures read from what they print."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.lab.link import Ends
from tests.peers.programs import find

_PING_TIME = re.compile(r"icmp_seq=(\d+) .*time=([\d.]+) ms")


def run(ends: Ends, *command: str, ok: Sequence[int] = (0,), timeout: float = 120.0) -> str:
    """The output of a command at the near end; RuntimeError if it fails."""
    done = subprocess.run(
        [*ends.prefix, *command], capture_output=True, text=True, check=False, timeout=timeout
    )
    if done.returncode not in ok:
        raise RuntimeError(
            f"{command[0]} ended with {done.returncode}: {done.stderr[-300:]}{done.stdout[-300:]}"
        )
    return done.stdout


def ping(ends: Ends, count: int, interval: float) -> list[float | None]:
    """Round trips in seconds in the order of sending, None where there was no reply."""
    text = run(
        ends,
        *(find("ping"), "-n", "-c", str(count), "-i", f"{interval:g}", "-W", "2", ends.far_address),
        ok=(0, 1),
    )
    found: list[float | None] = [None] * count
    for line in text.splitlines():
        match = _PING_TIME.search(line)
        if match and "DUP!" not in line:
            found[int(match[1]) - 1] = float(match[2]) / 1e3
    return found


def fping(ends: Ends, count: int, interval: float) -> list[float | None]:
    """As `ping`, from fping's summary of each packet."""
    done = subprocess.run(
        [*ends.prefix, find("fping"), "-q", "-C", str(count), "-p", f"{interval * 1e3:.0f}", "-t", "2000"]
        + [ends.far_address],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return [
        None if field == "-" else float(field) / 1e3
        for field in done.stderr.strip().splitlines()[-1].partition(" : ")[2].split()
    ]


@contextmanager
def iperf3_server(ends: Ends) -> Iterator[None]:
    """iperf3 at the far end until the block ends."""
    process = subprocess.Popen(
        [*ends.far_prefix, find("iperf3"), "-s", "--forceflush"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        while "listening" not in process.stdout.readline():
            if process.poll() is not None:
                raise RuntimeError("iperf3 does not listen")
        yield
    finally:
        process.terminate()
        process.communicate()


def iperf3(ends: Ends, *, upload: bool, seconds: float, skip: float, connections: int = 1) -> float:
    """bit/s of payload by the receiver's account."""
    direction = ("-P", str(connections), *(() if upload else ("-R",)))
    text = run(
        ends,
        *(find("iperf3"), "-c", ends.far_address, "-J", "-t", f"{seconds:g}", "-O", f"{skip:g}", *direction),
    )
    return float(json.loads(text)["end"]["sum_received"]["bits_per_second"])


def iperf3_flood(ends: Ends, *, payload: int, offered: float, seconds: float) -> float:
    """bit/s of UDP payload that arrived of more than the link can carry."""
    options = ("-u", "-b", f"{offered:.0f}", "-l", str(payload), "-t", f"{seconds:g}", "-J")
    document = json.loads(run(ends, find("iperf3"), "-c", ends.far_address, *options))
    return float(document["end"]["sum_received"]["bits_per_second"])


def curl(ends: Ends, url: str, seconds: float) -> float:
    """bit/s of a download that curl breaks off after so long, over its whole time."""
    text = run(
        ends,
        *(find("curl"), "-s", "-o", "/dev/null", "-m", f"{seconds:g}", "-w", "%{speed_download}", url),
        ok=(0, 28),
    )
    return float(text) * 8
