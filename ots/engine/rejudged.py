"""A report judged again: other thresholds held against what was measured then. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ots.engine.judged import unmeasured
from ots.engine.verdict import judge, judge_step
from ots.model.outcome import Verdict, worst
from ots.model.report import Report, Step
from ots.schema.threshold import Threshold


def rejudged(report: Report, thresholds: Mapping[str, Sequence[Threshold]]) -> Report:
    """A copy in which the steps of these keys have these thresholds and no others.

    What the report's verdict owes to something else than its steps (a failed precheck, a run that was
    killed) stays. Raises KeyError for a step that the report doesn't have.
    """
    unknown = thresholds.keys() - {step.key for step in report.steps}
    if unknown:
        raise KeyError(min(unknown))
    steps = [_step(step, thresholds[step.key]) if step.key in thresholds else step for step in report.steps]
    verdicts: list[Verdict] = [step.verdict for step in steps]
    if report.run.end is None:
        verdicts.append("error")
    if report.verdict != worst(step.verdict for step in report.steps):
        verdicts.append(report.verdict)
    return msgspec.structs.replace(report, steps=steps, verdict=worst(verdicts))


def _step(step: Step, thresholds: Sequence[Threshold]) -> Step:
    if step.error is not None and step.error.class_ == "internal":
        return step
    results = []
    if step.outcome != "skipped":
        results = [judge(threshold, step.metrics, step.series, step.outcome) for threshold in thresholds]
    required = step.options.get("require_success")
    verdict, reason = judge_step(
        step.outcome,
        [attempt.outcome for attempt in step.attempts],
        required="all" if required is None or isinstance(required, bool) else required,
        expect=str(step.options.get("expect") or "success"),
        thresholds=results,
        unmeasured=unmeasured(step.attempts),
    )
    return msgspec.structs.replace(step, thresholds=results, verdict=verdict, reason=reason)
