"""Runs a probe on the engine's own attempt, without a case, a plan or a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ots.clock import Clock, SystemClock
from ots.engine.attempt import attempt
from ots.engine.budget import DataBudget
from ots.engine.context import AttemptContext, StepLog
from ots.engine.recorder import AttemptRecorder
from ots.model.metric import Metric
from ots.model.report import DataUse
from ots.probe import AttemptData, Guard, Probe


@dataclass
class Recording:
    """What one call of `run` left behind."""

    probe: Probe
    params: Any
    log: StepLog
    data: DataUse
    """What was booked in the data budget."""
    attempts: list[AttemptData] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    progress: list[float | None] = field(default_factory=list)

    def of(self, target: str) -> AttemptData:
        return next(attempt for attempt in self.attempts if attempt.target == target)

    @property
    def only(self) -> AttemptData:
        """The attempt of a run with one target."""
        (attempt,) = self.attempts
        return attempt

    def metrics(self) -> list[Metric]:
        return self.probe.summarise(self.attempts, self.params)

    def metric(self, key: str, **labels: str) -> Metric:
        """The one metric of a key with exactly these labels beside the target."""
        (found,) = [
            metric
            for metric in self.metrics()
            if metric.key == key and {k: v for k, v in metric.labels.items() if k != "target"} == labels
        ]
        return found


async def record(
    probe: Probe,
    targets: Sequence[str] | str,
    params: Mapping[str, Any] | None = None,
    *,
    workdir: Path = Path("/nonexistent"),
    limit: float = 60.0,
    cancel_after: float | None = None,
    max_bytes: int | None = None,
    clock: Clock | None = None,
    secrets: Mapping[str, str] | None = None,
    guard: Guard | None = None,
) -> Recording:
    """One call of `run`: one attempt at each of many targets, or at one.

    After `cancel_after` seconds it is cancelled as by an operator, after `limit` as by the engine.
    """
    clock = clock or SystemClock()
    parsed = [probe.targets.parse(text) for text in ([targets] if isinstance(targets, str) else targets)]
    assert probe.targets.many or len(parsed) == 1
    start = clock.monotonic()
    log = StepLog(clock, start)
    budget = DataBudget(max_bytes)
    recording = Recording(probe, probe.Params.model_validate(params or {}), log, budget.use)
    recorders = [AttemptRecorder(index, 0, target.text, 0.0, 0) for index, target in enumerate(parsed)]

    def keep(name: str, data: bytes) -> str:
        recording.artifacts[name] = data
        return ""

    context = AttemptContext(
        {recorder.target: recorder for recorder in recorders},
        clock=clock,
        start=start,
        deadline=start + limit,
        budget=budget,
        log=log,
        workdir=workdir,
        secret=lambda reference: (secrets or {})[reference],
        keep=keep,
        progress=lambda fraction, text: recording.progress.append(fraction),
        guard=guard,
    )
    task = asyncio.create_task(
        attempt(
            probe,
            parsed,
            recording.params,
            context,
            recorders,
            clock=clock,
            start=start,
            limit=limit,
            log=log,
        )
    )
    if cancel_after is not None:
        await asyncio.wait({task}, timeout=cancel_after)
        task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    recording.attempts = [recorder.data() for recorder in recorders]
    return recording
