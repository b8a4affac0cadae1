"""Limits held against figures: losses, missing values, too few samples, several targets, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ots.engine.verdict import judge
from ots.model.metric import L_STATS, Metric, MetricDef, Series
from ots.model.outcome import Outcome
from ots.model.report import ThresholdResult
from ots.schema.threshold import Threshold, ThresholdWritten, understand

RTT = MetricDef("knock_rtt_seconds", "s", "sample", "", "", L_STATS)
LOSS = MetricDef("knock_packet_loss_ratio", "1", "aggregate", "", "", ("value",))


def limit(definition: MetricDef = RTT, **written: Any) -> Threshold:
    understood = understand(ThresholdWritten(metric=definition.key, **written), [RTT, LOSS])
    assert isinstance(understood, Threshold)
    return understood


def delays(
    samples: Sequence[float | None], target: str = "a", **stats: float | None
) -> tuple[Metric, Series]:
    """A metric with these statistics, and the samples behind it; None is a lost one."""
    lost = sum(sample is None for sample in samples)
    metric = Metric(
        key=RTT.key,
        type="sample",
        unit="s",
        labels={"target": target},
        n=len(samples),
        n_valid=len(samples) - lost,
        n_lost=lost,
        stats=dict(stats),
        nulls={f"stats.{name}": "too_few_samples" for name, value in stats.items() if value is None},
    )
    where = [float(place) for place in range(len(samples))]
    series = Series(key=RTT.key, labels={"target": target}, t=where, v=list(samples), a=[0] * len(samples))
    return metric, series


def judged(
    threshold: Threshold, *found: tuple[Metric, Series], outcome: Outcome = "success"
) -> ThresholdResult:
    return judge(threshold, [metric for metric, _ in found], [series for _, series in found], outcome)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.0599, "pass"), (0.06, "warn"), (0.1499, "warn"), (0.15, "fail")],
)
def test_the_limit_states_what_must_hold(value: float, verdict: str) -> None:
    """Fail is looked at first, then warn; the comparison is exact."""
    found = delays([value] * 5, median=value)
    assert judged(limit(warn="< 60 ms", fail="< 150 ms"), found).verdict == verdict


@pytest.mark.parametrize(
    ("said", "policy", "verdict"),
    [({"loss_policy": "conditional"}, "conditional", "pass"), ({}, "infinite", "fail")],
)
def test_lost_samples_are_infinitely_late_unless_the_case_says_otherwise(
    said: dict[str, Any], policy: str, verdict: str
) -> None:
    """Two of twenty lost: the p95 of those that came is fine, the p95 of all never. The result says which."""
    found = delays([0.01] * 18 + [None] * 2, p95=0.01)
    result = judged(limit(stat="p95", fail="< 60 ms", **said), found)
    assert (result.verdict, result.reason) == (verdict, "loss" if verdict == "fail" else None)
    assert result.loss_policy == policy


def test_a_failed_attempt_is_no_late_one() -> None:
    """What is counted once an attempt is judged over those that came to an end."""
    metric, series = delays([0.01, None], max=0.01)
    metric.type = "attempt"
    assert judged(limit(stat="max", fail="< 60 ms"), (metric, series)).verdict == "pass"


def test_one_loss_in_many_moves_no_percentile_to_infinity() -> None:
    """One of forty is 2.5 %: the p95 of all is that of a sample that came."""
    found = delays([0.01] * 39 + [None], p95=0.01)
    result = judged(limit(stat="p95", fail="< 60 ms", loss_policy="infinite"), found)
    assert (result.verdict, result.value) == ("pass", 0.01)


def test_too_few_because_of_losses_is_judged_with_them() -> None:
    """Losses are evidence: 20 planned, 15 came, and the p95 can be none of those."""
    found = delays([0.01] * 15 + [None] * 5, p95=None)
    result = judged(limit(stat="p95", fail="< 60 ms"), found)
    assert (result.verdict, result.reason) == ("fail", "loss")


def test_a_lower_bound_is_not_breached_by_losses() -> None:
    """A lost sample is late, and late is above."""
    found = delays([0.01] * 15 + [None] * 5, median=0.01)
    assert judged(limit(fail="> 1 ms", loss_policy="infinite"), found).verdict == "pass"


@pytest.mark.parametrize("missing", ["error", "fail", "skipped"])
def test_too_few_for_any_other_reason_is_what_on_missing_says(missing: str) -> None:
    """Nothing was lost, there are just not enough."""
    found = delays([0.01] * 5, p95=None)
    result = judged(limit(stat="p95", fail="< 60 ms", on_missing=missing), found)
    assert (result.verdict, result.reason) == (missing, "too_few_samples")


@pytest.mark.parametrize(
    ("outcome", "verdict"), [("failure", "fail"), ("invalid", "error"), ("skipped", "skipped")]
)
def test_no_figure_at_all(outcome: Outcome, verdict: str) -> None:
    """The service failed: a breach; we could not measure: an error; unsupported: skipped."""
    assert judged(limit(fail="< 60 ms"), outcome=outcome).verdict == verdict


def test_the_worst_of_several_targets_counts() -> None:
    """Each is judged, the verdict and the value are the worst one's."""
    good, bad = delays([0.01] * 5, "a", median=0.01), delays([0.2] * 5, "b", median=0.2)
    result = judged(limit(fail="< 60 ms"), good, bad)
    assert [each.verdict for each in result.judgements] == ["pass", "fail"]
    assert (result.verdict, result.value) == ("fail", 0.2)
    assert judged(limit(fail="< 60 ms", where={"target": "a"}), good, bad).verdict == "pass"


@pytest.mark.parametrize(
    ("low", "high", "verdict", "reason"),
    [(0.0, 0.009, "pass", None), (0.005, 0.07, "warn", "borderline"), (0.02, 0.07, "fail", None)],
)
def test_a_ratio_is_judged_by_its_interval_where_asked(
    low: float, high: float, verdict: str, reason: str | None
) -> None:
    """Pass or fail only if the whole interval says so."""
    value = (low + high) / 2
    stats = {"value": value, "ci95_low": low, "ci95_high": high}
    metric = Metric(key=LOSS.key, type="aggregate", unit="1", n=100, n_valid=100, n_lost=0, stats=dict(stats))
    result = judge(limit(LOSS, fail="<= 1 %", confidence=0.95), [metric], [], "success")
    assert (result.verdict, result.reason) == (verdict, reason)
