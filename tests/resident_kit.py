"""`ots agent run` on a machine whose clocks a test moves."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ots.agent.presence import read_state, read_status
from ots.model.report import Report
from ots.remote.assignment_wire import ASSIGNMENT_TAG, PLANNED_TAG
from ots.store import Store, StoreError
from tests.command_line import CommandLine
from tests.peers.process import end
from tests.peers.shifted_clock import ShiftedClock, suspended

LIGHT = """ots: 1
id: light
steps:
  - id: connects
    probe: tcp_connect
    target: TARGET
    params: {count: 1}
"""
LOAD = """ots: 1
id: load
steps:
  - id: down
    probe: http_download
    target: http://TARGET/
    params: {duration: 1 s}
"""


def utc(text: str) -> float:
    """Seconds since 1970 of `2027-03-10 09:30`, or with seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def soon(true: Callable[[], Any], within: float = 25.0) -> Any:
    """What it gives, once that is something."""
    deadline = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


@dataclass
class Resident:
    """One installation below `folder`, in the world of `clock`; `target` is HOST:PORT of what it measures."""

    folder: Path
    clock: ShiftedClock
    target: str
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def plan(self, name: str, schedule: str, case: str = LIGHT) -> None:
        """Plans the case by a schedule in YAML's flow style."""
        path = self.folder / f"{name}-case.yaml"
        path.write_text(case.replace("TARGET", self.target))
        folder = self.folder / "config" / "ots" / "schedules"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(f"case: {path}\nschedule: {schedule}\n")

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """The process, which is to end in order."""
        self.data.mkdir(exist_ok=True)
        with (self.folder / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ots", "agent", "run"],
                env={**CommandLine(self.folder).environment, "OTS_LOG": "info", **self.clock.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.process = process
        try:
            soon(lambda: (read_status(self.data) or {}).get("pid") == process.pid)
            yield
        finally:
            end(process, grace=30)
            assert process.returncode == 0, self.log
            assert "Traceback" not in self.log, self.log

    def look(self) -> None:
        """Has it look at its clocks now, and waits until it has; by itself it does so every 20 s."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        soon(lambda: abs((read_state(self.data).seen or 0.0) - self.clock.now()) < 15)

    def set_clock(self, text: str) -> None:
        """Somebody sets the clock."""
        self.clock.set(utc(text))
        self.look()

    def sleep(self, seconds: float) -> None:
        """The machine is suspended, and wakes again."""
        assert self.process is not None
        with suspended(self.process):
            self.clock.sleep(seconds)
        self.look()

    def has_run(self, times: int) -> None:
        """Waits until so many runs have ended, and nothing goes on any more."""
        soon(lambda: len(self.ran()) == times and (read_status(self.data) or {}).get("running") == [])

    def ran(self) -> list[tuple[str, str]]:
        """The runs of its schedules that have ended, in their order: the schedule, and the moment."""
        return [
            (each.tags["ots.schedule"], moment(each))
            for each in self.reports()
            if each.run.state == "completed" and ASSIGNMENT_TAG not in each.tags
        ]

    def did_not_run(self) -> list[tuple[str, str, str]]:
        """What did not run: the schedule, the first moment, the reason."""
        return [
            (each.tags["ots.schedule"], moment(each), each.run.reason or "")
            for each in self.reports()
            if each.run.state == "aborted" and ASSIGNMENT_TAG not in each.tags
        ]

    def reports(self) -> list[Report]:
        """All that are whole, in their order."""
        try:
            with Store.open_read_only(self.data) as store:
                found = [store.report(entry) for entry in store.list() if entry.state != "running"]
        except StoreError:
            return []  # it is being made
        return sorted(found, key=lambda report: report.seq)


def moment(report: Report) -> str:
    """The planned moment that it is of, like `10:00`."""
    return report.tags[PLANNED_TAG][11:16]
