"""Verdicts: thresholds against metrics, losses, missing values, roll-up."""

from __future__ import annotations

import pytest

from ots.engine.verdict import judge, judge_step, success_holds
from ots.model.metric import MetricDef, Series
from ots.model.outcome import Verdict, outcome_of, roll_up_outcomes, worst
from ots.model.report import ThresholdResult
from ots.schema.threshold import Threshold, ThresholdWritten, understand
from ots.stats.summary import of_samples


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "skipped"),
        (["skipped", "measured"], "measured"),
        (["pass", "measured"], "pass"),
        (["pass", "warn"], "warn"),
        (["warn", "error"], "error"),
        (["error", "fail"], "fail"),
    ],
)
def test_the_worst_verdict_counts(verdicts: list[Verdict], expected: Verdict) -> None:
    """fail > error > warn > pass > measured > skipped."""
    assert worst(verdicts) == expected


def test_invalid_attempts_count_neither_as_success_nor_as_failure() -> None:
    """The outcome of a step looks at valid attempts first."""
    assert roll_up_outcomes(["invalid", "success"]) == "success"
    assert roll_up_outcomes(["invalid", "failure", "success"]) == "failure"
    assert roll_up_outcomes(["invalid"]) == "invalid"
    assert roll_up_outcomes([]) == "skipped"


def test_error_classes_fall_on_the_side_that_the_catalogue_says() -> None:
    """Ours is invalid, the network's is failure, a missing feature is skipped."""
    assert outcome_of("permission") == "invalid"
    assert outcome_of("timeout") == "failure"
    assert outcome_of("unsupported") == "skipped"


@pytest.mark.parametrize(
    ("required", "holds"),
    [("all", False), ("any", True), (2, True), (3, False), (0.5, True), (0.9, False)],
)
def test_required_success_is_counted_over_valid_attempts(required: str | int | float, holds: bool) -> None:
    """Two of three valid attempts succeeded; the invalid one is out of the count."""
    assert success_holds(["success", "success", "failure", "invalid"], required) is holds


def test_a_step_without_limits_is_measured_not_passed() -> None:
    """Nothing was judged, so nothing passed."""
    verdict = judge_step("success", ["success"], required="all", expect="success", thresholds=[])
    assert verdict == ("measured", None)


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        ("pass", ("pass", "failed_as_expected")),
        ("fail", ("fail", "threshold")),
        ("warn", ("warn", "threshold")),
    ],
)
def test_a_failure_must_be_the_one_that_was_expected(judged: Verdict, expected: tuple[str, str]) -> None:
    """`expect: failure` with a limit: a filtered port is not a closed one."""
    limit = ThresholdResult(
        id="port",
        metric="port_state",
        stat="value",
        unit="1",
        warn=None,
        fail="== closed",
        value="filtered",
        verdict=judged,
        reason=None,
        judgements=[],
    )
    found = judge_step("failure", ["failure"], required="all", expect="failure", thresholds=[limit])
    assert found == expected


def test_a_failure_that_was_expected_passes() -> None:
    """`expect: failure` turns the meaning round, in both directions."""
    assert judge_step("failure", ["failure"], required="all", expect="failure", thresholds=[])[0] == "pass"
    assert judge_step("success", ["success"], required="all", expect="failure", thresholds=[])[0] == "fail"


def test_a_limit_on_a_part_takes_the_samples_of_that_part() -> None:
    """Of a path's samples those of the hop, lost ones too, and not the destination's beside them."""
    definition = MetricDef("trace_hop_rtt_seconds", "s", "sample", "", "", ("median", "max"))
    hop = {"target": "h", "hop": "1", "address": "192.0.2.1"}
    metrics = [
        of_samples(definition, [0.5] * 4, labels={"target": "h"}),
        of_samples(definition, [0.01, 0.02, 0.03, None], labels=hop),
    ]
    series = [
        Series(key=definition.key, labels={"target": "h"}, t=[0.0] * 4, v=[0.5] * 4, a=[0] * 4),
        Series(key=definition.key, labels=hop, t=[0.0] * 4, v=[0.01, 0.02, 0.03, None], a=[0] * 4),
    ]

    def judged(**more: object) -> tuple[object, Verdict]:
        written = ThresholdWritten.model_validate(
            {"metric": definition.key, "stat": "median", "fail": "< 100 ms", **more}
        )
        threshold = understand(written, [definition])
        assert isinstance(threshold, Threshold)
        result = judge(threshold, metrics, series, "success")
        return result.value, result.verdict

    assert judged() == (0.5, "fail")
    assert judged(where={"hop": "1"}, loss_policy="infinite") == (pytest.approx(0.025), "pass")
