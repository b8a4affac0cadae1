"""`ots` at the near end of a link while something goes on there, and the grade that it gave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.netns import do
from tests.lab.link import Ends
from tests.lab.references import iperf3_server
from tests.peers.programs import find

STARTED = 1.5
"""Seconds after which a measurement is sure to run, on a machine that is not overloaded."""

_STOPPED, _RUNS = 0.08, 0.004


@dataclass(frozen=True, slots=True)
class Graded:
    """What a step said of itself: grade, codes of the findings, and everything else."""

    grade: str
    codes: tuple[str, ...]
    step: dict[str, Any]


class Machine:
    """This machine as OTS knows it: its calibration, kept in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def calibrate(self) -> None:
        """Measures what this machine reaches by itself; some fifteen seconds."""
        self._ots(("doctor", "--calibrate"), ()).communicate(timeout=120)

    def measure(
        self, ends: Ends, *arguments: str, meanwhile: Sequence[Sequence[str]] = (), starved: bool = False
    ) -> Graded:
        """Runs `ots ARGUMENTS`, and once it has started the commands `meanwhile`, or lets it hardly run."""
        child = self._ots((*arguments, "--json"), ends.prefix)
        happening = threading.Thread(target=_happen, args=(child, meanwhile, starved))
        happening.start()
        out, complaint = child.communicate(timeout=120)
        happening.join()
        report = json.loads(out)
        if "steps" not in report:
            raise RuntimeError(f"ots {' '.join(arguments)}: {report} {complaint[-300:]}")
        (step,) = report["steps"]
        validity = step["validity"]
        if validity is None:
            raise RuntimeError(f"ots {' '.join(arguments)}: no grade, {step['outcome']} {step['error']}")
        return Graded(validity["grade"], tuple(each["code"] for each in validity["findings"]), step)

    def _ots(self, arguments: Sequence[str], prefix: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "ots", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OTS_DATA_DIR": str(self._folder)},
        )


@contextmanager
def machine(*, calibrated: bool = True) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as folder:
        made = Machine(Path(folder))
        if calibrated:
            made.calibrate()
        yield made


@contextmanager
def iperf3_beside(ends: Ends, rate: float, *, down: bool) -> Iterator[None]:
    """UDP of other people over the link, bit/s one way, until the block ends."""
    with iperf3_server(ends):
        client = subprocess.Popen(
            [*ends.prefix, find("iperf3"), "-c", ends.far_address, "-u", "-b", f"{rate:.0f}", "-t", "60"]
            + ["-l", "1200", *(["-R"] if down else [])],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            client.terminate()
            client.wait(10)


@contextmanager
def paced_server(ends: Ends) -> Iterator[None]:
    """`tests.lab.paced_server` at the far end."""
    process = subprocess.Popen(
        [*ends.far_prefix, sys.executable, "-m", "tests.lab.paced_server", ends.far_address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the paced server does not listen")
        yield
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def _happen(child: subprocess.Popen[str], commands: Sequence[Sequence[str]], starved: bool) -> None:
    """After a while each command, half a second apart; or the process stands still nearly all the time."""
    time.sleep(STARTED)
    for command in commands:
        do(*command)
        time.sleep(0.5)
    # It may have ended at any moment.
    with contextlib.suppress(ProcessLookupError):
        while starved and child.poll() is None:
            child.send_signal(signal.SIGSTOP)
            time.sleep(_STOPPED)
            child.send_signal(signal.SIGCONT)
            time.sleep(_RUNS)
