"""Runs a plan: precheck, blocks, cycles, limits. A report comes out however it ends.

Order of things: the head is written before anything runs; each step is written the moment it ends; the last
head says how the run ended. A stop (Ctrl-C, SIGTERM, time limit) cancels what runs, and every step that was
planned still stands in the report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from ots.clock import rfc3339
from ots.engine.attempt import attempt
from ots.engine.context import AttemptContext, StepLog
from ots.engine.environment import Environment
from ots.engine.lag import LagWatch
from ots.engine.planner import Plan, PlannedBlock, PlannedStep
from ots.engine.recorder import AttemptRecorder
from ots.engine.step import StepRun
from ots.model.outcome import Outcome, Verdict, outcome_of, worst
from ots.model.report import Context, Precheck, Report
from ots.probe import Probe, Route
from ots.schema.case import PrecheckSpec

_LOGGER = logging.getLogger("ots.engine")

_CLOCK_STEP = 0.1
"""Seconds by which wall and monotonic clock may drift apart before it counts as a step."""

_PRECHECK_RETRY = 2.0

_WITHOUT_PRECHECK: dict[Outcome, Verdict] = {
    "success": "measured",
    "failure": "fail",
    "invalid": "error",
    "skipped": "skipped",
}
"""What a precheck with `on_fail: fail` makes of the run: only an outage is a result."""

_LOCATE_PERIOD = 1.0
"""Seconds between two looks at where the machine is attached."""


class _EndOfRun(Exception):
    """No further step shall start; the reason is an argument."""


class Runner:
    """One execution of a plan. `stop()` may be called from a signal handler of the loop at any moment."""

    def __init__(self, plan: Plan, environment: Environment, report: Report, lag: LagWatch) -> None:
        self._plan = plan
        self._env = environment
        self._report = report
        self._wall = environment.clock.wall()
        self._start = environment.clock.monotonic()
        self._steps = {
            planned.position: StepRun(planned, environment, self._start, lag) for planned in plan.steps
        }
        self._pair()
        self._work: asyncio.Task[None] | None = None
        self._stopped: str | None = None
        self._located = 0.0
        self._published: set[int] = set()

    def _pair(self) -> None:
        """Tells each companion its load, and the last step before it that measures the same without load."""
        for planned in self._plan.steps:
            own, wanted = self._steps[planned.position], planned.step
            if wanted.during is None:
                continue
            texts = {target.text for target in wanted.targets}
            for other in self._plan.steps:
                step = other.step
                if wanted.during in (step.key, step.id):
                    own.load = self._steps[other.position]
                alike = step.kind.kind == wanted.kind.kind and step.during is None
                if alike and other.position < planned.position and texts & {t.text for t in step.targets}:
                    own.idle = self._steps[other.position]

    def stop(self, reason: str) -> None:
        """Ends the run as `aborted` for this reason; what was measured is kept."""
        if self._stopped is None:
            self._stopped = reason
            if self._work is not None:
                self._work.cancel()

    async def run(self, *, every: float | None = None, duration: float | None = None) -> Report:
        """Runs once, or every so many seconds for so long, and returns the finished report."""
        self._report.run.start = rfc3339(self._wall)
        self._report.run.state = "running"
        await self._locate()
        self._env.watcher.started(self._plan, self._report)
        if self._stopped is None:
            self._work = asyncio.create_task(self._cycles(every, duration), name="run")
            limit = self._plan.case.time_limit
            await asyncio.wait({self._work}, timeout=None if limit is None else self._env.start_delay + limit)
            if not self._work.done():
                self.stop("time_limit")
                await asyncio.wait({self._work})
            if not self._work.cancelled() and (bug := self._work.exception()) is not None:
                _LOGGER.debug("the run broke", exc_info=bug)
                self._stopped = f"internal:{type(bug).__name__}"
        return await self._finish()

    async def _finish(self) -> Report:
        run = self._report.run
        for planned in self._plan.steps:
            step = self._steps[planned.position]
            if self._stopped is not None:
                step.skip("run_aborted")
            if self._stopped is not None or planned.position not in self._published:
                await self._publish(planned)
        run.state = "completed" if self._stopped is None else "aborted"
        run.reason = self._stopped or run.reason
        run.end = rfc3339(self._env.clock.wall())
        run.duration = round(self._env.clock.monotonic() - self._start, 6)
        run.data = self._env.budget.use
        run.clock["end_wall"] = run.end
        run.clock["end_monotonic"] = round(self._env.clock.monotonic(), 6)
        run.clock["step_seconds"] = round(self._clock_step(), 6)
        verdicts: list[Verdict] = [step.verdict for step in self._report.steps]
        if run.precheck is not None and run.reason == "precheck_failed":
            verdicts.append(_WITHOUT_PRECHECK[run.precheck.outcome])
        self._report.verdict = worst(verdicts)
        await self._env.sink.head(self._report)
        return self._report

    async def _cycles(self, every: float | None, duration: float | None) -> None:
        clock, number = self._env.clock, 0
        if self._env.start_delay > 0:
            await asyncio.sleep(self._env.start_delay)
        try:
            await self._precheck()
            while True:
                self._report.run.cycles = number + 1
                self._env.watcher.cycle(number)
                await self._blocks(number)
                if every is None or duration is None:
                    return
                elapsed = clock.monotonic() - self._start
                number = max(number + 1, -int(-elapsed // every))
                if number * every >= duration:
                    return
                await asyncio.sleep(number * every - elapsed)
        except _EndOfRun as end:
            self._report.run.reason = str(end)

    async def _blocks(self, cycle: int) -> None:
        stopped_by: str | None = None
        for block in self._plan.blocks:
            if stopped_by is not None:
                for planned in block.steps:
                    self._steps[planned.position].skip(f"stopped_after:{stopped_by}")
                continue
            if len(block.steps) == 1:
                await self._one(block.steps[0], cycle, locked=False)
            else:
                await self._together(block, cycle)
            await self._locate()
            stopped_by = self._stopper(block)
        if stopped_by is not None:
            raise _EndOfRun(f"stopped_after:{stopped_by}")

    def _stopper(self, block: PlannedBlock) -> str | None:
        """The step of the block after which the case says to stop."""
        for planned in block.steps:
            row = self._report.steps[planned.position]
            broken = row.verdict in ("fail", "error") and "stop" in (
                planned.step.on_failure,
                self._plan.case.on_failure,
            )
            if broken or row.reason == "aborted_by_threshold":
                return planned.step.key
        return None

    async def _one(self, planned: PlannedStep, cycle: int, *, locked: bool) -> None:
        step = self._steps[planned.position]
        condition = planned.step.when
        if condition is not None and not condition.evaluate(lambda name: self._lookup(name, cycle)):
            step.skip("condition_false")
            step.log.info(f"cycle {cycle + 1}: the condition did not hold")
        else:
            self._env.watcher.step_started(planned)
            try:
                await step.cycle(cycle, self._locate, locked=locked)
            except asyncio.CancelledError:
                await self._publish(planned)
                raise
        await self._publish(planned)
        self._env.watcher.step_ended(planned, self._report.steps[planned.position])

    async def _together(self, block: PlannedBlock, cycle: int) -> None:
        """Runs the members side by side; a companion starts with its load and ends with it."""
        loads = {planned.step.during for planned in block.steps if planned.step.during is not None}
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            for planned in block.steps:
                self._steps[planned.position].concurrent = True
                self._steps[planned.position].started.clear()
                if planned.step.during is None:
                    tasks[planned.step.key] = tasks[planned.step.id] = group.create_task(
                        self._one(planned, cycle, locked=False), name=planned.step.key
                    )
            companions = [planned for planned in block.steps if planned.step.during in loads]
            for planned in companions:
                load = self._member(block, planned.step.during)
                group.create_task(
                    self._accompany(planned, cycle, self._steps[load.position], tasks[load.step.key]),
                    name=planned.step.key,
                )
        for planned in companions:
            # One that ended before its load didn't know yet when that was at work.
            await self._publish(planned)

    def _member(self, block: PlannedBlock, name: str | None) -> PlannedStep:
        return next(planned for planned in block.steps if name in (planned.step.key, planned.step.id))

    async def _accompany(
        self, planned: PlannedStep, cycle: int, load: StepRun, load_task: asyncio.Task[None]
    ) -> None:
        own = self._steps[planned.position]
        started = asyncio.create_task(load.started.wait())
        try:
            await asyncio.wait({started, load_task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
        if load_task.done() and not load.succeeded():
            own.skip("no_load")
            await self._publish(planned)
            self._env.watcher.step_ended(planned, self._report.steps[planned.position])
            return
        task = asyncio.create_task(self._one(planned, cycle, locked=True), name=planned.step.key)
        try:
            await asyncio.wait({task, load_task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            if self._stopped is None:
                own.end_of_load(succeeded=load.succeeded())
            await self._publish(planned)
            self._env.watcher.step_ended(planned, self._report.steps[planned.position])
        else:
            task.result()

    def _lookup(self, name: str, cycle: int) -> tuple[str, str] | None:
        """Verdict and outcome of a step in this cycle, by key or id; the worst of its instances."""
        standings = [
            self._steps[planned.position].standing(cycle)
            for planned in self._plan.steps
            if name in (planned.step.key, planned.step.id)
        ]
        if not standings:
            return None
        verdict = worst(verdict for verdict, _outcome in standings)
        return verdict, next(outcome for found, outcome in standings if found == verdict)

    async def _publish(self, planned: PlannedStep) -> None:
        row = self._steps[planned.position].result()
        if abs(self._clock_step()) > _CLOCK_STEP:
            for metric in row.metrics:
                if "clock_step" not in metric.quality_flags:
                    metric.quality_flags.append("clock_step")
        steps = self._report.steps
        while len(steps) < planned.position:
            steps.append(self._steps[len(steps)].result())
        # A slice, for the place may be taken already: a later step was published first.
        steps[planned.position : planned.position + 1] = [row]
        self._report.run.data = self._env.budget.use
        self._published.add(planned.position)
        await self._env.sink.step(planned.position, row)

    def _clock_step(self) -> float:
        """Seconds by which the wall clock was stepped since the run's start."""
        wall = self._env.clock.wall() - self._wall
        return wall - (self._env.clock.monotonic() - self._start)

    async def _locate(self) -> int:
        """Notes where the machine is attached, if that has changed; returns the index of what holds now."""
        contexts = self._report.contexts
        now = self._env.clock.monotonic() - self._start
        if contexts and now - self._located < _LOCATE_PERIOD:
            return len(contexts) - 1
        self._located = now
        seen = await self._env.observe(round(now, 6))
        if not contexts or _place(contexts[-1]) != _place(seen):
            contexts.append(seen)
            await self._env.sink.head(self._report)
        return len(contexts) - 1

    async def _precheck(self) -> None:
        """Tries until it works or its time is over; with `on_fail: wait`, until the run itself is stopped."""
        spec = self._plan.case.precheck
        if spec is None or all(planned.refusal for planned in self._plan.steps):
            return
        deadline = self._env.clock.monotonic() + spec.wait
        while True:
            self._report.run.precheck = await self._check_once(spec)
            await self._env.sink.head(self._report)
            if self._report.run.precheck.outcome == "success":
                return
            patient = spec.on_fail == "wait"
            if not patient and self._env.clock.monotonic() + _PRECHECK_RETRY > deadline:
                break
            await asyncio.sleep(_PRECHECK_RETRY)
        for step in self._steps.values():
            step.skip("precheck_failed", self._report.run.precheck.error)
        if spec.on_fail == "fail":
            raise _EndOfRun("precheck_failed")
        raise _EndOfRun("precheck_skipped")

    async def _check_once(self, spec: PrecheckSpec) -> Precheck:
        clock = self._env.clock
        began = clock.monotonic()
        recorder = AttemptRecorder(0, 0, spec.target.text, began - self._start, 0)
        log = StepLog(clock, self._start)
        limit = max(spec.wait, 10.0)
        route = getattr(spec.params, "route", Route())
        context = AttemptContext(
            {spec.target.text: recorder},
            clock=clock,
            start=self._start,
            deadline=began + limit,
            budget=self._env.budget.over(await self._env.egress(spec.target, route)),
            log=log,
            workdir=self._env.workdir,
            secret=self._env.secret,
            keep=self._env.sink.artifact,
            progress=lambda _fraction, _text: None,
            guard=self._env.guard(spec.kind.kind),
        )
        await attempt(
            cast(Probe, spec.kind),
            [spec.target],
            spec.params,
            context,
            [recorder],
            clock=clock,
            start=self._start,
            limit=limit,
            log=log,
        )
        error = recorder.error
        return Precheck(
            probe=spec.kind.kind,
            target=spec.target.text,
            outcome="success" if error is None else outcome_of(error.class_),
            error=error,
            duration=round(clock.monotonic() - began, 6),
        )


def _place(context: Context) -> tuple[object, ...]:
    """What makes two contexts the same place; neither the machine's load nor a Wi-Fi's momentary signal."""
    network = dict(context.network)
    if isinstance(network.get("wifi"), dict):
        network["wifi"] = {name: network["wifi"].get(name) for name in ("ssid_hash", "bssid_hash", "channel")}
    return network, context.radio, context.position


async def run_plan(
    plan: Plan,
    environment: Environment,
    report: Report,
    *,
    every: float | None = None,
    duration: float | None = None,
    on_ready: Callable[[Runner], None] = lambda _runner: None,
) -> Report:
    """Runs a plan under the watch of the event loop's lag. `on_ready` gets the runner, to stop it."""
    async with LagWatch(environment.clock) as lag:
        runner = Runner(plan, environment, report, lag)
        on_ready(runner)
        return await runner.run(every=every, duration=duration)
