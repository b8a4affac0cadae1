"""Small reports for tests of the store, and a child process that writes one until it is killed.

python -m tests.store_kit FOLDER        # begins a run and prints a line for each step that is on the disk
"""

from __future__ import annotations

import itertools
import sys
import uuid
from pathlib import Path

from ots.model.outcome import Verdict
from ots.model.report import CaseRef, DataUse, Job, Report, Run, Schema, Step
from ots.store import Store
from ots.store.writer import Queue

AGENT = "5b0e3a52-6f0a-4b0e-9f57-52a8d6f0c001"


def make_report(
    start: str = "2026-03-01T08:00:00.000000Z",
    *,
    job: str | None = "HZ-117",
    case_id: str = "office",
    agent_id: str = AGENT,
) -> Report:
    """A report before anything has run."""
    return Report(
        schema=Schema(),
        report_id=str(uuid.uuid4()),
        seq=0,
        revision=1,
        verdict="skipped",
        agent={"agent_id": agent_id},
        job=Job(id=job),
        case=CaseRef(id=case_id, version=3, sha256="00"),
        tags={},
        run=Run(
            run_id=str(uuid.uuid4()),
            state="created",
            reason=None,
            cycles=1,
            start=start,
            end=None,
            duration=None,
            clock={},
            precheck=None,
            data=DataUse(),
        ),
        contexts=[],
        steps=[],
        scores=[],
    )


def make_step(number: int, verdict: Verdict = "pass", *, log: int = 0) -> Step:
    """A step that has ended; `log` bytes of incompressible-looking parameters make it larger."""
    key = f"step-{number}"
    return Step(
        id=key,
        instance=None,
        key=key,
        probe="ping",
        probe_version=1,
        during=None,
        targets=[f"192.0.2.{number % 250}"],
        params={"noise": "".join(uuid.uuid4().hex for _ in range(log // 32))},
        t=float(number),
        duration=1.0,
        outcome="success",
        error=None,
        flaky=False,
        attempts=[],
        metrics=[],
        series=[],
        thresholds=[],
        validity=None,
        verdict=verdict,
        reason=None,
        load={},
        log=[],
        artifacts=[],
    )


def finish(
    store: Store, report: Report, *steps: Step, verdict: Verdict = "pass", queue: Queue = "no"
) -> bytes:
    """Runs a report through the store from begin to finish."""
    with store.begin(report, queue=queue) as writer:
        for position, step in enumerate(steps):
            writer.step(position, step)
        report.steps = list(steps)
        report.verdict = verdict
        report.run.state = "completed"
        report.run.duration = 12.5
        return writer.finish(report)


def write_for_ever(folder: Path) -> None:
    """Begins a run and stores step after step; each line printed is a step that must survive."""
    with Store.open(folder) as store, store.begin(make_report()) as writer:
        print("begun", flush=True)  # noqa: T201
        for number in itertools.count():
            writer.step(number, make_step(number, log=2000))
            print(number, flush=True)  # noqa: T201


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))
