"""A diagnosis as a report: three steps without figures, whose log lines are what was found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ots.clock import rfc3339
from ots.config import Settings
from ots.model.report import CaseRef, DataUse, LogLine, Report, Run, Schema, Step
from ots.netio.attachment.clock_trust import clock_trust
from ots.remote.enrolled import queue_of_run
from ots.session.identity import uuid7
from ots.session.job import job_of_run
from ots.store import Store

CASE = "diagnosis"
_LEVELS = {"ok": "info", "warn": "warning", "fail": "error"}
_LONGEST = 1000


def store_diagnosis(found: dict[str, Any], began: float, seconds: float, settings: Settings) -> str:
    """Stores what `ots.agent.diagnosis` found, puts it on the queue and returns the report's id.

    `began` is in seconds since 1970. Raises StoreError.
    """
    steps = [
        _step("doctor", _findings(found["doctor"]), seconds),
        _step("link", _members(found["link"]), seconds),
        _step("log", [("info", str(line)) for line in found["log"]], seconds),
    ]
    report = Report(
        schema=Schema(),
        report_id=uuid7(began),
        seq=0,
        revision=1,
        verdict="measured",
        agent=settings.agent(),
        job=job_of_run(settings, None),
        case=CaseRef(id=CASE, version=None, sha256=hashlib.sha256(b"").hexdigest()),
        tags={},
        run=Run(
            run_id=uuid7(began),
            state="created",
            reason=None,
            cycles=1,
            start=rfc3339(began),
            end=rfc3339(began + seconds),
            duration=seconds,
            clock=clock_trust(),
            precheck=None,
            data=DataUse(),
        ),
        contexts=[],
        steps=[],
        scores=[],
    )
    with (
        Store.open(settings.data_dir) as store,
        store.begin(report, queue=queue_of_run(settings, asked=None, by_hand=False)) as writer,
    ):
        for position, step in enumerate(steps):
            writer.step(position, step)
        report.steps = steps
        report.run.state = "completed"
        writer.finish(report)
    return report.report_id


def _findings(doctor: Any) -> list[tuple[str, str]]:
    if not isinstance(doctor, dict) or "findings" not in doctor:
        return _members(doctor)
    return [
        (
            _LEVELS.get(each["state"], "info"),
            " → ".join(filter(None, (f"{each['subject']}: {each['text']}", each["remedy"]))),
        )
        for each in doctor["findings"]
    ]


def _members(found: Any) -> list[tuple[str, str]]:
    members = found if isinstance(found, dict) else {"found": found}
    return [("info", f"{name}: {json.dumps(value, ensure_ascii=False)}") for name, value in members.items()]


def _step(name: str, lines: Sequence[tuple[str, str]], seconds: float) -> Step:
    return Step(
        id=name,
        instance=None,
        key=name,
        probe=CASE,
        probe_version=1,
        during=None,
        targets=[],
        params={},
        t=0.0,
        duration=seconds,
        outcome="success",
        error=None,
        flaky=False,
        attempts=[],
        metrics=[],
        series=[],
        thresholds=[],
        validity=None,
        verdict="measured",
        reason=None,
        load={},
        log=[LogLine(t=0.0, level=level, text=text[:_LONGEST]) for level, text in lines],
        artifacts=[],
    )
