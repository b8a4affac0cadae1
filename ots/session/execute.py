"""Runs one case: makes the report's head, runs the plan into the store, and says how it went."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ots.clock import Clock, SystemClock, rfc3339
from ots.config import Settings
from ots.engine.budget import DataBudget
from ots.engine.environment import Environment, Nobody, Watcher
from ots.engine.planner import Plan
from ots.engine.runner import Runner, run_plan
from ots.model.report import CaseRef, DataUse, Report, Run, Schema
from ots.netio.attachment import snapshot as attachment
from ots.netio.attachment.surroundings import Surroundings
from ots.session.calibration import ceilings
from ots.session.hold import tell_when_held
from ots.session.identity import uuid7
from ots.session.job import add_late_notes, job_of_run
from ots.session.link_meter import LinkMeter
from ots.session.signals import Stopper, stopping
from ots.session.sink import StoreSink
from ots.store import Store, StoreError
from ots.store.writer import Queue

if TYPE_CHECKING:
    from ots.session.admission import Admission

log = logging.getLogger("ots.session")


@dataclass(frozen=True, slots=True)
class Options:
    """How a case is to be run, beside what it says itself. Times in seconds, data in bytes.

    `queue` says whether its report is to be sent to the server, and who ran it. `order_id` is the name under
    which bytes were set aside for it.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    job: str | None = None
    every: float | None = None
    duration: float | None = None
    max_data: int | None = None
    queue: Queue = "no"
    order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run; `not_stored` says why its report could not be written, if so."""

    report: Report
    not_stored: StoreError | None


def execute(
    plan: Plan,
    options: Options,
    settings: Settings,
    store: Store,
    watcher: Watcher | None = None,
    admission: Admission | None = None,
) -> Result:
    """Runs a plan in an event loop of its own and stores its report.

    With an admission (the plan is then its own) the policy watches over everything that is sent, and a hold
    ends the run; without one it is a person's. SIGINT and SIGTERM end the run as `aborted` with everything
    measured so far. Raises StoreError only if the store can't even take the head of the report: then nothing
    has run.
    """
    clock = SystemClock()
    report = _head(plan, options, settings, clock)
    targets = [target for planned in plan.steps for target in planned.step.targets]
    with stopping() as stopper, store.begin(report, queue=options.queue) as writer:
        sink = StoreSink(writer)
        budget = DataBudget(options.max_data) if admission is None else admission.budget(options.max_data)
        observe = attachment.observer(settings, targets)
        meter = LinkMeter(settings.data_dir, budget, observe, options.order_id)
        environment = Environment(
            sink=sink,
            workdir=writer.workdir,
            secret=settings.secret if admission is None else admission.secret(settings.secret),
            observe=meter.observe,
            egress=attachment.egress,
            surroundings=Surroundings,
            watcher=watcher or Nobody(),
            clock=clock,
            budget=budget,
            ceilings=ceilings(store.folder),
        )
        unattended = None if admission is None or admission.issuer.kind == "local" else admission
        if unattended is not None:
            environment.guard = unattended.guard
            environment.start_delay = unattended.decision.start_delay
        watched = unattended is not None and unattended.decision.allowed
        holding = settings.data_dir if watched else None
        try:
            asyncio.run(_run(plan, environment, report, options, stopper, holding))
        finally:
            meter.book()
        if unattended is not None:
            use = budget.use
            unattended.ended(use.received_bytes + use.sent_bytes)
        _take_late_notes(report, settings)
        report.agent["licence"]["state_at_end"] = plan.entitlement.record(clock.wall())["state"]
        sink.finish(report)
    _keep_within_limits(store, settings, clock)
    return Result(report, sink.failure)


async def _run(
    plan: Plan,
    environment: Environment,
    report: Report,
    options: Options,
    stopper: Stopper,
    holding: Path | None,
) -> None:
    """Runs the plan until it ends or is stopped: by a signal, or by a hold in the folder `holding`."""
    watching: list[asyncio.Task[None]] = []

    def ready(runner: Runner) -> None:
        stopper.watch(runner)
        if holding is not None:
            looking = tell_when_held(holding, lambda: runner.stop("held"))
            watching.append(asyncio.create_task(looking, name="hold"))

    try:
        await run_plan(
            plan, environment, report, every=options.every, duration=options.duration, on_ready=ready
        )
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


def _take_late_notes(report: Report, settings: Settings) -> None:
    """Notes that can't be read any more are no reason to lose the run."""
    try:
        add_late_notes(settings, report.job)
    except StoreError as error:
        log.warning("Notes taken during the run are not in its report: %s", error)


def _keep_within_limits(store: Store, settings: Settings, clock: Clock) -> None:
    """Deletes old reports beyond the settings' caps; that it can't is no fault of this run."""
    kept = settings.retention
    try:
        store.prune(max_bytes=kept.max_size, max_age=kept.max_age, now=clock.wall())
    except StoreError as error:
        log.warning("Old reports could not be deleted: %s", error)


def _head(plan: Plan, options: Options, settings: Settings, clock: Clock) -> Report:
    """The report before anything has run; the store gives it its number."""
    case = plan.case
    wall = clock.wall()
    return Report(
        schema=Schema(),
        report_id=uuid7(wall),
        seq=0,
        revision=1,
        verdict="skipped",
        agent={**settings.agent(), "licence": _licence(plan, wall)},
        job=job_of_run(settings, options.job),
        case=CaseRef(
            id=case.id,
            version=case.version,
            sha256=case.sha256,
            title=dict(case.title),
            layer=case.layer,
            base=case.base,
            stale_since=case.stale_since,
        ),
        tags={**case.tags, **options.tags},
        run=Run(
            run_id=uuid7(wall),
            state="created",
            reason=None,
            cycles=0,
            start=rfc3339(wall),
            end=None,
            duration=None,
            clock=attachment.clock_trust(),
            precheck=None,
            data=DataUse(limit_bytes=options.max_data),
        ),
        contexts=[],
        steps=[],
        scores=[],
    )


def _licence(plan: Plan, wall: float) -> dict[str, Any]:
    """The licence under which the run starts; how it stands at the end is still to come."""
    record = plan.entitlement.record(wall)
    state = record.pop("state")
    return {**record, "state_at_start": state, "state_at_end": None}
