"""What an attempt leaves behind: samples, series, the data budget."""

from __future__ import annotations

import math

import pytest

from ots.clock import SystemClock
from ots.engine.budget import DataBudget
from ots.engine.context import StepLog
from ots.engine.recorder import AttemptRecorder, series_of
from ots.log import hide
from ots.model.report import Error
from ots.probe import Estimate, Failed


def recorder(index: int = 0, target: str = "a") -> AttemptRecorder:
    return AttemptRecorder(index, 0, target, 1.0, 0)


def test_attempts_of_one_target_share_a_series() -> None:
    """The column `a` says which attempt a sample belongs to; reasons stand at their position."""
    first, second = recorder(0), recorder(1)
    first.record("x_seconds", (), 1.1, 0.5, None)
    second.record("x_seconds", (), 2.1, None, "loss")
    (series,) = series_of([first, second])
    assert (series.v, series.a, series.nulls) == ([0.5, None], [0, 1], {"1": "loss"})
    assert series.labels == {"target": "a"}


def test_a_missing_value_needs_a_reason_and_a_number_must_be_finite() -> None:
    """NaN would turn into null without a word when it is written."""
    with pytest.raises(ValueError, match="needs a reason"):
        recorder().record("x_seconds", (), 1.0, None, None)
    with pytest.raises(ValueError, match="finite"):
        recorder().record("x_seconds", (), 1.0, math.nan, None)


def test_the_first_end_of_an_attempt_counts() -> None:
    """A target that failed is not turned into a success by the end of the others."""
    attempt = recorder()
    attempt.end(2.0, Error(class_="loss", phase="first_byte", code="LOSS", message="no reply"))
    attempt.end(3.0)
    assert attempt.outcome == "failure"
    assert attempt.duration == 1.0


def test_a_secret_that_a_server_repeats_is_blotted_out() -> None:
    """Neither the error nor a line of the log shows it, whichever probe quoted the server."""
    hide("s3cret-of-a-test")
    attempt, lines = recorder(), StepLog(SystemClock(), 0.0)
    attempt.end(2.0, Error(class_="auth", phase="login", code="NO", message="no s3cret-of-a-test here"))
    lines.warning("it said s3cret-of-a-test")
    assert attempt.error is not None and attempt.error.message == "no *** here"
    assert lines.lines[0].text == "it said ***"


def test_the_first_mark_of_a_trigger_counts() -> None:
    """A redirect resolves twice; the attempt began with the first."""
    attempt = recorder()
    attempt.mark("resolved", 1.5, "socket")
    attempt.mark("resolved", 2.5, "socket")
    assert attempt.data().triggers == {"resolved": 1.5}


def test_the_budget_ends_what_runs_and_refuses_what_can_not_fit() -> None:
    """Enforced before (by the estimate) and during (by what really moved)."""
    budget = DataBudget(1000)
    assert budget.refusal(Estimate(1.0, 600, 300)) is None
    budget.spend(received=600)
    refusal = budget.refusal(Estimate(1.0, 600, 0))
    assert refusal is not None
    assert refusal.class_ == "resource"
    assert budget.refusal(Estimate(1.0, None, None)) is None
    with pytest.raises(Failed) as failure:
        budget.spend(sent=400)
    assert failure.value.error.code == "DATA_BUDGET"
    assert budget.refusal(Estimate(1.0, None, None)) is not None
    assert (budget.use.received_bytes, budget.use.sent_bytes) == (600, 400)


def test_no_limit_refuses_nothing() -> None:
    """Without --max-data everything may run, and what moved is still counted."""
    budget = DataBudget()
    budget.spend(received=10**12)
    assert budget.refusal(Estimate(1.0, 10**15, 0)) is None
    assert budget.use.received_bytes == 10**12
