"""Verdicts: thresholds against metrics, losses, missing values, roll-up."""

from __future__ import annotations

import pytest

from ots.engine.verdict import judge_step, success_holds
from ots.model.outcome import Verdict, outcome_of, roll_up_outcomes, worst
from ots.model.report import ThresholdResult


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
