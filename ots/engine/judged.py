"""What a set of attempts comes to: metrics, thresholds, outcome and verdict. Pure but for a debug log.

Used for a whole step, for one cycle of it (`when:` looks at what just happened), after each repetition
(a threshold with `abort`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ots.engine.loaded import Under, loaded_metrics
from ots.engine.planner import PlannedStep
from ots.engine.recorder import AttemptRecorder, series_of
from ots.engine.verdict import judge, judge_step
from ots.model.metric import Metric, Series
from ots.model.outcome import Outcome, Verdict, roll_up_outcomes
from ots.model.report import Attempt, Error, ThresholdResult

_LOGGER = logging.getLogger("ots.engine")


@dataclass(frozen=True, slots=True)
class Judged:
    """The findings over the attempts that have ended. `bug` is set if the probe could not summarise them."""

    outcome: Outcome
    metrics: list[Metric]
    series: list[Series]
    thresholds: list[ThresholdResult]
    verdict: Verdict
    reason: str | None
    bug: Error | None


def judged(
    planned: PlannedStep,
    recorders: Sequence[AttemptRecorder],
    *,
    concurrent: bool,
    under: Under | None = None,
) -> Judged:
    """Summarises and judges attempts; those that still run don't count yet. `under` is the load, if any."""
    step = planned.step
    ended = [recorder for recorder in recorders if recorder.ended]
    outcome = roll_up_outcomes(recorder.outcome for recorder in ended)
    many = planned.probe.targets.pools(len({recorder.target for recorder in recorders}))
    series = series_of(recorders, pooled=many)
    metrics, bug = _summarised(planned, ended, concurrent, under)
    thresholds: list[ThresholdResult] = []
    if outcome != "skipped":
        thresholds = [judge(threshold, metrics, series, outcome) for threshold in step.thresholds]
    verdict: Verdict = "error"
    reason: str | None = "internal"
    if bug is None:
        verdict, reason = judge_step(
            outcome,
            [recorder.outcome for recorder in ended],
            required=step.require_success,
            expect=step.expect,
            thresholds=thresholds,
            unmeasured=unmeasured(ended),
        )
    return Judged(outcome, metrics, series, thresholds, verdict, reason, bug)


def unmeasured(ended: Sequence[AttemptRecorder] | Sequence[Attempt]) -> bool:
    """Whether a target has invalid attempts only; those that were cancelled were given up, not impossible."""
    by_target: dict[str, list[AttemptRecorder | Attempt]] = {}
    for recorder in ended:
        by_target.setdefault(recorder.target, []).append(recorder)
    return any(
        all(
            recorder.outcome == "invalid" and recorder.error and recorder.error.class_ != "cancelled"
            for recorder in recorders
        )
        for recorders in by_target.values()
    )


def _summarised(
    planned: PlannedStep, ended: Sequence[AttemptRecorder], concurrent: bool, under: Under | None
) -> tuple[list[Metric], Error | None]:
    try:
        return _metrics(planned, ended, concurrent, under), None
    except Exception as bug:
        _LOGGER.debug("%s.summarise failed", planned.probe.kind, exc_info=True)
        name = type(bug).__name__
        message = f"bug in the probe's summary: {name}: {bug}"
        return [], Error(class_="internal", phase="analysis", code=name, message=message)


def _metrics(
    planned: PlannedStep, ended: Sequence[AttemptRecorder], concurrent: bool, under: Under | None
) -> list[Metric]:
    if not ended:
        return []
    probe = planned.probe
    declared = {definition.key for definition in probe.metrics}
    attempts = [recorder.data() for recorder in ended]
    metrics = probe.summarise(attempts, planned.step.params)
    for metric in metrics:
        if metric.key not in declared:
            raise LookupError(f"{probe.kind} made {metric.key}, which it does not declare")
    if under is not None and probe.round_trip is not None:
        metrics = [*metrics, *loaded_metrics(probe.round_trip, attempts, under)]
    for metric in metrics:
        if concurrent and "concurrent" not in metric.quality_flags:
            metric.quality_flags.append("concurrent")
    return metrics
