"""Verdicts: thresholds held against metrics. Pure.

A value that is missing because the service failed is a breach; one that is missing because we could not
measure is an error; lost samples count as infinitely late where an upper bound is judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ots.model.metric import Metric, Series, Value
from ots.model.outcome import Outcome, Verdict, worst
from ots.model.report import Judgement, ThresholdResult
from ots.schema.threshold import Threshold
from ots.stats import distribution

Success = str | int | float
"""`all`, `any`, a number of attempts, or a share of them."""


def success_holds(outcomes: Sequence[Outcome], required: Success) -> bool:
    """Whether enough of the valid attempts succeeded."""
    valid = [outcome for outcome in outcomes if outcome in ("success", "failure")]
    succeeded = valid.count("success")
    if required == "all":
        return succeeded == len(valid)
    if required == "any":
        return succeeded > 0
    if isinstance(required, float):
        return bool(valid) and succeeded / len(valid) >= required
    return isinstance(required, int) and succeeded >= required


def judge_step(
    outcome: Outcome,
    outcomes: Sequence[Outcome],
    *,
    required: Success,
    expect: str,
    thresholds: Sequence[ThresholdResult],
    unmeasured: bool = False,
) -> tuple[Verdict, str | None]:
    """A step's verdict and, where it isn't plain, its reason.

    `unmeasured` says that we could not measure one of the targets at all: what the others gave is then no
    answer to the question, unless it is a breach already.
    """
    if outcome == "skipped":
        return "skipped", None
    if outcome == "invalid":
        return "error", "invalid"
    if expect == "failure":
        if any(seen == "success" for seen in outcomes):
            return "fail", "succeeded_unexpectedly"
        judged = worst(["pass", *(result.verdict for result in thresholds)])
        return judged, "failed_as_expected" if judged == "pass" else "threshold"
    judged = worst(result.verdict for result in thresholds) if thresholds else "measured"
    if not success_holds(outcomes, required):
        return "fail", "attempts_failed"
    if unmeasured and judged != "fail":
        return "error", "invalid"
    reason = "threshold" if judged in ("fail", "warn", "error") else None
    return judged, reason


def judge(
    threshold: Threshold, metrics: Sequence[Metric], series: Sequence[Series], outcome: Outcome
) -> ThresholdResult:
    """One threshold against every label set that it matches; the worst counts."""
    judgements = [
        _judge_one(threshold, metric, _samples(metric, series), outcome)
        for metric in _matching(threshold, metrics)
    ]
    if not judgements:
        verdict, reason = _missing(threshold, outcome, "no_metric")
        judgements = [
            Judgement(
                labels=dict(threshold.where), value=None, n=0, ci95=None, verdict=verdict, reason=reason
            )
        ]
    verdict = worst(judgement.verdict for judgement in judgements)
    decisive = next(judgement for judgement in judgements if judgement.verdict == verdict)
    return ThresholdResult(
        id=threshold.id,
        metric=threshold.metric,
        stat=threshold.stat,
        unit=threshold.unit,
        warn=None if threshold.warn is None else threshold.warn.text,
        fail=None if threshold.fail is None else threshold.fail.text,
        loss_policy=threshold.loss_policy,
        value=decisive.value,
        verdict=verdict,
        reason=decisive.reason,
        judgements=judgements,
    )


def _matching(threshold: Threshold, metrics: Sequence[Metric]) -> list[Metric]:
    """Metrics of the key that have the labels asked for; the whole where parts of it are there too."""
    wanted = threshold.where.items()
    found = [
        metric for metric in metrics if metric.key == threshold.metric and wanted <= metric.labels.items()
    ]
    return [
        metric
        for metric in found
        if not any(other.labels.items() < metric.labels.items() for other in found if other is not metric)
    ]


def _samples(metric: Metric, series: Sequence[Series]) -> list[Value | None]:
    """The samples behind a metric: those with its very labels, else those of what it is a part of."""
    own = [column for column in series if column.key == metric.key]
    exact = [column for column in own if column.labels == metric.labels]
    whole = [column for column in own if column.labels.items() <= metric.labels.items()]
    return [value for column in exact or whole for value in column.v]


def _judge_one(
    threshold: Threshold, metric: Metric, samples: Sequence[Value | None], outcome: Outcome
) -> Judgement:
    value, reason = _value(threshold, metric, samples)
    verdict: Verdict
    ci95 = _interval(metric) if threshold.stat == next(iter(metric.stats), None) else None
    if value is None and reason == "loss":
        verdict = "fail" if threshold.fail is not None else "warn"
    elif value is None:
        verdict, reason = _missing(threshold, outcome, reason or "missing")
    elif not _enough(threshold, metric):
        verdict, reason = threshold.on_missing, "too_few_samples"
    else:
        verdict, reason = _compare(threshold, value, ci95)
    return Judgement(
        labels=metric.labels, value=value, n=metric.n_valid, ci95=ci95, verdict=verdict, reason=reason
    )


def _value(
    threshold: Threshold, metric: Metric, samples: Sequence[Value | None]
) -> tuple[Value | None, str | None]:
    """The statistic, with lost samples as infinitely late where the policy or their number asks for it.

    Of what is counted once an attempt, a failed attempt is no late one: `require_success` judges those.
    """
    raw = metric.stats.get(threshold.stat)
    value = raw if not isinstance(raw, dict) else None
    bound = threshold.fail or threshold.warn
    ordered_by_size = threshold.stat in distribution.PERCENTILES or threshold.stat in ("median", "max")
    infinite = (threshold.loss_policy == "infinite" and metric.type == "sample") or value is None
    if metric.n_lost and ordered_by_size and infinite and bound is not None and bound.upper_bound:
        if len(samples) < distribution.needed(threshold.stat):
            return None, distribution.TOO_FEW
        ordered = sorted(float(sample) if isinstance(sample, int | float) else math.inf for sample in samples)
        late = _ranked(threshold.stat, ordered)
        return (None, "loss") if math.isinf(late) else (late, None)
    return value, metric.nulls.get(f"stats.{threshold.stat}")


def _ranked(stat: str, ordered: Sequence[float]) -> float:
    if stat == "median":
        return distribution.median(ordered)
    return ordered[-1] if stat == "max" else distribution.percentile(ordered, distribution.PERCENTILES[stat])


def _enough(threshold: Threshold, metric: Metric) -> bool:
    """Lost samples don't make a set too small: they are evidence."""
    return threshold.min_samples is None or metric.n >= threshold.min_samples


def _compare(threshold: Threshold, value: Value, ci95: Sequence[float] | None) -> tuple[Verdict, str | None]:
    if threshold.confidence is not None and ci95 is not None and threshold.fail is not None:
        sides = [threshold.fail.holds(bound) for bound in ci95]
        if not any(sides):
            return "fail", None
        if not all(sides):
            return "warn", "borderline"
    elif threshold.fail is not None and not threshold.fail.holds(value):
        return "fail", None
    if threshold.warn is not None and not threshold.warn.holds(value):
        return "warn", None
    return "pass", None


def _missing(threshold: Threshold, outcome: Outcome, reason: str) -> tuple[Verdict, str]:
    if outcome == "failure":
        return "fail", "every_attempt_failed" if reason == "no_metric" else reason
    if outcome == "skipped" or reason == "unsupported":
        return "skipped", reason
    return threshold.on_missing, reason


def _interval(metric: Metric) -> list[float] | None:
    """The 95 % interval of the metric's first statistic; no other has one."""
    low, high = metric.stats.get("ci95_low"), metric.stats.get("ci95_high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return [float(low), float(high)]
    return None
