"""One step of a plan, over all its cycles: repetitions, retries, limits, metrics and verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from ots import units
from ots.engine import exclusive
from ots.engine.attempt import attempt
from ots.engine.context import AttemptContext, StepLog
from ots.engine.environment import Environment
from ots.engine.judged import Judged, judged
from ots.engine.lag import LagWatch, LagWindow
from ots.engine.loaded import Under, idle_round_trips, working_conditions
from ots.engine.passages import Passages
from ots.engine.planner import PlannedStep
from ots.engine.recorder import AttemptRecorder
from ots.engine.verdict import success_holds
from ots.model.metric import Value
from ots.model.outcome import Outcome, Verdict
from ots.model.report import Artifact, Error, Step
from ots.probe import AttemptData, Failed, Route, Target

_SLACK = 30.0
"""Seconds on top of the longest estimate after which a step without a time limit of its own is ended."""

_NOT_STARTED = Error(
    class_="cancelled",
    phase="config",
    code="TIME_LIMIT",
    message="not started: the step's time limit was over before",
)

_NO_LOAD = Error(
    class_="cancelled",
    phase="transfer",
    code="NO_LOAD",
    message="ended with the step that was to load the link and failed",
)

Locate = Callable[[], Awaitable[int]]
"""Gives the index of the report's context that holds now."""


class StepRun:
    """A step while its run lasts. `result()` can be asked for at any moment and is always valid."""

    def __init__(self, planned: PlannedStep, environment: Environment, start: float, lag: LagWatch) -> None:
        self.planned = planned
        self.step = planned.step
        self.log = StepLog(environment.clock, start)
        self.started = asyncio.Event()
        self._env = environment
        self._start = start
        self._lag = lag
        self._lags = LagWindow()
        self._recorders: list[AttemptRecorder] = []
        self._artifacts: list[Artifact] = []
        self._passages = Passages(planned, environment)
        self._skipped: Error | None = None
        self._reason: str | None = None
        self._t: float | None = None
        self._busy = 0.0
        self._cpu = 0.0
        self.concurrent = False
        self.load: StepRun | None = None
        """The step that this one accompanies, and (`idle`) the one of its kind that measures without load."""
        self.idle: StepRun | None = None

    def skip(self, reason: str, error: Error | None = None) -> None:
        """Ends the step without running it; the first reason counts."""
        if not self._recorders and self._reason is None:
            self._reason, self._skipped = reason, error

    async def cycle(self, number: int, context: Locate, *, locked: bool) -> None:
        """Runs all repetitions once.

        `locked` says that somebody in this run already holds the link. A cancellation goes through, after
        everything measured so far has been closed.
        """
        if self._t is None:
            self._t = self._env.clock.monotonic() - self._start
        self._reason = self._skipped = None
        began, cpu = self._env.clock.monotonic(), time.process_time()
        try:
            with self._lag.window(self._lags):
                await self._cycle(number, context, locked)
        finally:
            self.started.set()
            self._busy += self._env.clock.monotonic() - began
            self._cpu += time.process_time() - cpu

    async def _cycle(self, number: int, context: Locate, locked: bool) -> None:
        obstacle = self.planned.refusal or self._missing() or self._env.budget.refusal(self.planned.estimate)
        if obstacle is not None:
            self._refuse(obstacle, number, await context())
            return
        async with AsyncExitStack() as stack:
            try:
                await self._lock(stack, locked)
            except Failed as busy:
                self._refuse(busy.error, number, await context())
                return
            self.started.set()
            deadline = self._env.clock.monotonic() + self._limit()
            for repetition in range(self.step.repeat):
                if repetition and self.step.pause:
                    await asyncio.sleep(min(self.step.pause, max(0.0, self._left(deadline))))
                for targets in self._calls():
                    if self._left(deadline) <= 0:
                        self._out_of_time(repetition, number, await context())
                        return
                    await self._with_retries(targets, number, context, deadline)
                if self._certainly_breached():
                    self._reason = "aborted_by_threshold"
                    return

    def _calls(self) -> list[list[Target]]:
        """The targets of each call of `run`: all at once, or one by one."""
        unique = list({target.text: target for target in self.step.targets}.values())
        return [unique] if self.planned.probe.targets.many else [[target] for target in unique]

    async def _with_retries(
        self, targets: Sequence[Target], cycle: int, context: Locate, deadline: float
    ) -> None:
        for _ in range(self.step.retries + 1):
            recorders = await self._attempt(targets, cycle, await context(), deadline)
            errors = [recorder.error for recorder in recorders if recorder.outcome == "invalid"]
            retryable = any(error is not None and error.retryable for error in errors)
            if not retryable or self._left(deadline) <= 0:
                return

    async def _attempt(
        self, targets: Sequence[Target], cycle: int, context: int, deadline: float
    ) -> list[AttemptRecorder]:
        clock, budget = self._env.clock, self._env.budget.over(await self._link(targets[0]))
        now = clock.monotonic()
        recorders = [
            AttemptRecorder(len(self._recorders) + offset, cycle, target.text, now - self._start, context)
            for offset, target in enumerate(targets)
        ]
        self._recorders.extend(recorders)
        attempt_context = AttemptContext(
            {recorder.target: recorder for recorder in recorders},
            clock=clock,
            start=self._start,
            deadline=deadline,
            budget=budget,
            log=self.log,
            workdir=self._env.workdir,
            secret=self._env.secret,
            keep=self._env.sink.artifact,
            progress=lambda fraction, text: self._env.watcher.progress(self.planned, fraction, text),
            ceilings=self._env.ceilings,
            guard=self._env.guard(self.planned.probe.kind),
        )
        try:
            with self._passages.call(targets):
                await attempt(
                    self.planned.probe,
                    targets,
                    self.step.params,
                    attempt_context,
                    recorders,
                    clock=clock,
                    start=self._start,
                    limit=max(0.0, deadline - now),
                    log=self.log,
                )
        finally:
            self._artifacts.extend(attempt_context.artifacts)
        return recorders

    def _left(self, deadline: float) -> float:
        return deadline - self._env.clock.monotonic()

    def _out_of_time(self, repetitions: int, cycle: int, context: int) -> None:
        """Ends the step between two attempts: what did not start is no time-out of the target.

        Targets that this cycle has not reached at all get an attempt that says so.
        """
        self._reason = "time_limit"
        self.log.warning(f"the time limit ended it after {repetitions} of {self.step.repeat} repetitions")
        t = self._env.clock.monotonic() - self._start
        reached = {recorder.target for recorder in self._recorders if recorder.cycle == cycle}
        for target in {target.text: None for target in self.step.targets}:
            if target not in reached:
                recorder = AttemptRecorder(len(self._recorders), cycle, target, t, context)
                recorder.end(t, _NOT_STARTED)
                self._recorders.append(recorder)

    def _limit(self) -> float:
        limit: float | None = self.step.time_limit
        return self.planned.estimate.patience + _SLACK if limit is None else limit

    async def _lock(self, stack: AsyncExitStack, locked: bool) -> None:
        names = [] if locked else await self._locks()
        waited: list[str] = []

        def waiting(name: str, holder: int | None) -> None:
            waited.append(name)
            self._env.watcher.waiting(self.planned, name, holder)

        if names:
            began = self._env.clock.monotonic()
            held = exclusive.held(names, self._env.clock, self._env.patience, waiting)
            await stack.enter_async_context(held)
            if waited:
                took = units.display(self._env.clock.monotonic() - began, "s")
                self.log.info(f"waited {took} for another measurement over {', '.join(sorted(set(waited)))}")

    async def _locks(self) -> list[str]:
        kind = self.planned.probe.exclusive
        if kind == "none":
            return []
        if kind == "host":
            return ["host"]
        return [await self._link(target) for target in self.step.targets]

    async def _link(self, target: Target) -> str:
        return await self._env.egress(target, getattr(self.step.params, "route", Route()))

    def _missing(self) -> Error | None:
        for requirement in self.planned.probe.requires:
            reason = requirement.missing()
            if reason is not None:
                return Error(
                    class_="permission" if requirement.lack == "right" else "unsupported",
                    phase="config",
                    code=requirement.name,
                    message=reason,
                    remedy=requirement.remedy,
                )
        return None

    def _refuse(self, error: Error, cycle: int, context: int) -> None:
        """Closes every target's attempt with what stands in the way, without touching the network."""
        if error.class_ in ("unsupported", "license"):
            self.skip("requirement" if error.class_ == "unsupported" else "license", error)
            return
        t = self._env.clock.monotonic() - self._start
        for target in {target.text for target in self.step.targets}:
            recorder = AttemptRecorder(len(self._recorders), cycle, target, t, context)
            recorder.end(t, error)
            self._recorders.append(recorder)

    def end_of_load(self, *, succeeded: bool) -> None:
        """Turns a cancellation by the end of the accompanied step into a success of what was measured.

        Without a load that succeeded there is nothing to turn: the figures would be those of an idle link.
        """
        if not succeeded:
            self._reason = "no_load"
            for recorder in self._recorders:
                if recorder.error is not None and recorder.error.class_ == "cancelled":
                    recorder.error = _NO_LOAD
            return
        for recorder in self._recorders:
            if recorder.error is not None and recorder.error.class_ == "cancelled" and recorder.columns:
                recorder.error = None
                recorder.method["ended_by"] = "load"

    def _certainly_breached(self) -> bool:
        aborting = {threshold.id for threshold in self.step.thresholds if threshold.abort}
        if not aborting:
            return False
        return any(result.id in aborting and result.verdict == "fail" for result in self._judged().thresholds)

    def _judged(self, cycle: int | None = None) -> Judged:
        """The findings over all attempts, or over those of one cycle."""
        recorders = [recorder for recorder in self._recorders if cycle in (None, recorder.cycle)]
        return judged(self.planned, recorders, concurrent=self.concurrent, under=self._under())

    def _under(self) -> Under | None:
        """The load's working conditions, once it has ended, and what was measured without it."""
        key = self.planned.probe.round_trip
        if self.load is None or key is None:
            return None
        spans = working_conditions(self.load.ended())
        idle = {} if self.idle is None else idle_round_trips(key, self.idle.ended())
        return Under(self.load.planned.probe.direction, spans, idle) if spans else None

    def ended(self) -> list[AttemptData]:
        """The attempts that have ended, as plain data."""
        return [recorder.data() for recorder in self._recorders if recorder.ended]

    def standing(self, cycle: int) -> tuple[Verdict, Outcome]:
        """Verdict and outcome of one cycle alone: what a `when:` of that cycle asks for."""
        found = self._judged(cycle)
        return found.verdict, found.outcome

    def result(self) -> Step:
        """The step as the report holds it."""
        step, probe = self.step, self.planned.probe
        found = self._judged()
        ended = [recorder for recorder in self._recorders if recorder.ended]
        if found.bug is not None:
            self.log.error(found.bug.message)
        outcomes = {recorder.outcome for recorder in ended}
        load, nulls = self._load()
        succeeded = [recorder for recorder in ended if recorder.outcome == "success"]
        loaded = self.load is not None
        validity = self._passages.validity(
            succeeded, found.metrics, self._lags, concurrent=self.concurrent and not loaded
        )
        return Step(
            id=step.id,
            instance=step.instance,
            key=step.key,
            probe=probe.kind,
            probe_version=probe.version,
            during=step.during,
            targets=[target.text for target in step.targets],
            target_lists={name: list(members) for name, members in step.target_lists.items()},
            params=step.params.model_dump(mode="json"),
            options={
                "repeat": step.repeat,
                "pause": step.pause,
                "retries": step.retries,
                "time_limit": step.time_limit,
                "require_success": step.require_success,
                "expect": step.expect,
                "on_failure": step.on_failure,
                "when": None if step.when is None else step.when.text,
            },
            tags=dict(step.tags),
            t=round(self._t or 0.0, 6),
            duration=round(self._busy, 6),
            outcome=found.outcome,
            error=self._skipped or found.bug or _first_error(ended, found.outcome),
            flaky={"success", "failure"} <= outcomes,
            attempts=[recorder.record_of() for recorder in ended],
            metrics=found.metrics,
            series=found.series,
            thresholds=found.thresholds,
            validity=validity,
            verdict=found.verdict,
            reason=self._reason or found.reason,
            load=load,
            log=list(self.log.lines),
            artifacts=list(self._artifacts),
            nulls={**({"validity": "not_graded"} if validity is None else {}), **nulls},
        )

    def _load(self) -> tuple[dict[str, Value | None], dict[str, str]]:
        facts: dict[str, Value | None] = {
            "loop_lag_p99_seconds": self._lags.p99(),
            "loop_lag_max_seconds": self._lags.maximum(),
            "process_cpu_ratio": self._cpu / self._busy if self._busy > 0 else None,
        }
        reason = "not_run" if self._busy == 0 else "too_few_samples"
        return facts, {f"load.{name}": reason for name, value in facts.items() if value is None}

    def succeeded(self) -> bool:
        """Whether the load that others accompany really ran."""
        return success_holds([recorder.outcome for recorder in self._recorders if recorder.ended], "any")


def _first_error(ended: Sequence[AttemptRecorder], outcome: Outcome) -> Error | None:
    """The error that explains the step's outcome best: the first of that side, else the first of all."""
    errors = [(recorder.outcome, recorder.error) for recorder in ended if recorder.error is not None]
    return next((error for side, error in errors if side == outcome), errors[0][1] if errors else None)
