"""The engine where time, data or a right runs out between two attempts: what is told must have happened."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ots.clock import SystemClock
from ots.engine.environment import Nobody
from ots.engine.exclusive import held
from ots.engine.runner import run_plan
from ots.model.report import Report
from ots.probe import Context, Estimate, Failed, Route, Target
from ots.schema.case import Case, PrecheckSpec
from tests.engine_kit import (
    FakeParams,
    case,
    empty_report,
    environment,
    fake,
    forever,
    planned,
    quick,
    step,
)


async def run(made: Case, tmp_path: Path, limit: int | None = None) -> Report:
    return await run_plan(planned(made), environment(tmp_path, limit=limit), empty_report())


async def test_repetitions_that_had_no_time_left_are_no_failures(tmp_path: Path) -> None:
    """The pause ends with the step's time; only what ran stands as an attempt, and the log says how much."""
    report = await run(case(step(fake(quick), repeat=50, pause=0.05, time_limit=0.2)), tmp_path)
    row = report.steps[0]
    assert {attempt.outcome for attempt in row.attempts} == {"success"}
    assert 1 <= len(row.attempts) < 10
    assert (row.outcome, row.verdict, row.reason) == ("success", "measured", "time_limit")
    assert f"after {len(row.attempts)} of 50" in row.log[-1].text
    assert row.duration < 1


async def test_a_target_that_was_never_reached_says_so(tmp_path: Path) -> None:
    """The first target uses up the step's time; the second is not counted against its network."""
    targets = (Target("a", "a"), Target("b", "b"))
    report = await run(case(step(fake(forever), targets=targets, time_limit=0.05)), tmp_path)
    first, second = report.steps[0].attempts
    assert (first.target, first.outcome) == ("a", "failure")
    assert (second.target, second.outcome) == ("b", "invalid")
    assert second.error is not None
    assert (second.error.class_, second.error.code) == ("cancelled", "TIME_LIMIT")


@pytest.mark.parametrize(
    ("error_class", "verdict"), [("timeout", "fail"), ("permission", "error"), ("unsupported", "skipped")]
)
async def test_only_an_outage_seen_by_the_precheck_is_a_failure(
    error_class: Any, verdict: str, tmp_path: Path
) -> None:
    """That we may not look, or can't, says nothing about the network."""

    async def broken(ctx: Context, targets: Sequence[Target]) -> None:
        raise Failed(error_class, "connect", "X")

    spec = PrecheckSpec(fake(broken), Target("g", "g"), FakeParams(), 0.0, "fail")
    report = await run(case(step(fake(quick)), precheck=spec), tmp_path)
    assert (report.verdict, report.run.reason) == (verdict, "precheck_failed")


async def test_the_data_budget_speaks_in_readable_amounts(tmp_path: Path) -> None:
    """Kilobytes, as the limit was given, not a row of digits."""
    report = await run(case(step(fake(quick, estimate=Estimate(0.1, 4200, 0)))), tmp_path, limit=1000)
    error = report.steps[0].error
    assert error is not None
    assert error.message == "needs up to 4.2 kB, and 1 kB are left of the data budget"


async def test_waiting_for_the_link_stands_in_the_log(tmp_path: Path) -> None:
    """Whoever reads the report later sees where the time went."""
    link = f"test-{uuid.uuid4().hex[:12]}"
    asked = asyncio.Event()

    class Watching(Nobody):
        def waiting(self, planned: Any, lock: str, holder: int | None) -> None:
            asked.set()

    async def egress(target: Target, route: Route) -> str:
        return link

    surroundings = dataclasses.replace(environment(tmp_path), egress=egress, watcher=Watching())
    plan = planned(case(step(fake(quick, exclusive="link"))))
    async with held([link], SystemClock(), 1.0, lambda _name, _holder: None):
        waiting = asyncio.create_task(run_plan(plan, surroundings, empty_report()))
        await asyncio.wait_for(asked.wait(), 5)
    row = (await waiting).steps[0]
    assert row.verdict == "measured"
    assert row.log[0].text.endswith(f"for another measurement over {link}")
