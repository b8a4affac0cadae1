"""The engine around probes that do as they are told: order, limits, cancellation, retries, budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ots.clock import SystemClock
from ots.engine.runner import Runner, run_plan
from ots.license.policy import Refusal
from ots.model.report import Report
from ots.probe import Context, Estimate, Failed, Requirement, Target
from ots.schema.case import Case, PrecheckSpec
from ots.schema.condition import Condition
from tests.engine_kit import (
    TOOK,
    FakeParams,
    Memory,
    case,
    empty_report,
    environment,
    fake,
    forever,
    planned,
    quick,
    step,
)


async def run(made: Case, tmp_path: Path, **more: Any) -> Report:
    entitlement = more.pop("entitlement", None)
    limit = more.pop("limit", None)
    return await run_plan(
        planned(made, entitlement), environment(tmp_path, limit=limit), empty_report(), **more
    )


class SteppedClock(SystemClock):
    """The system's clock with a wall that somebody sets."""

    offset = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset


def verdicts(report: Report) -> dict[str, tuple[str, str | None]]:
    return {row.key: (row.verdict, row.reason) for row in report.steps}


async def test_a_plain_step_is_measured(tmp_path: Path) -> None:
    """Samples become metrics, the attempt succeeds, nothing was judged."""
    report = await run(case(step(fake(quick))), tmp_path)
    row = report.steps[0]
    assert (row.outcome, row.verdict) == ("success", "measured")
    assert row.metrics[0].stats["median"] == 0.5
    assert row.attempts[0].target == "a"
    assert (report.run.state, report.verdict) == ("completed", "measured")
    assert row.probe_version == 3


async def test_every_step_is_written_the_moment_it_ends(tmp_path: Path) -> None:
    """The second step finds the first one already in the sink."""
    made = environment(tmp_path)
    sink = made.sink
    assert isinstance(sink, Memory)
    seen: list[int] = []

    async def look(ctx: Context, targets: Sequence[Target]) -> None:
        seen.append(len(sink.steps))

    plan = planned(case(step(fake(quick), "one"), step(fake(look), "two")))
    await run_plan(plan, made, empty_report())
    assert seen == [1]
    assert sink.heads >= 2


async def test_a_failing_target_is_a_result(tmp_path: Path) -> None:
    """`Failed` ends the attempt with its class; what was recorded before stays."""

    async def fail(ctx: Context, targets: Sequence[Target]) -> None:
        ctx.record(TOOK.key, 0.1)
        raise Failed("refused", "connect", "ECONNREFUSED")

    report = await run(case(step(fake(fail))), tmp_path)
    row = report.steps[0]
    assert (row.outcome, row.verdict, row.reason) == ("failure", "fail", "attempts_failed")
    assert row.error is not None and row.error.class_ == "refused"
    assert row.series[0].v == [0.1]


async def test_a_bug_in_a_probe_costs_only_its_step(tmp_path: Path) -> None:
    """The next step runs; the traceback stands in the step's log and nowhere else."""

    async def bug(ctx: Context, targets: Sequence[Target]) -> None:
        raise KeyError("oops")

    report = await run(case(step(fake(bug), "bad"), step(fake(quick), "good")), tmp_path)
    assert verdicts(report) == {"bad": ("error", "invalid"), "good": ("measured", None)}
    assert report.steps[0].error is not None and report.steps[0].error.class_ == "internal"
    assert any("KeyError" in line.text for line in report.steps[0].log)


async def test_one_of_several_targets_may_fail_alone(tmp_path: Path) -> None:
    """Each target has its own attempt and outcome."""

    async def half(ctx: Context, targets: Sequence[Target]) -> None:
        ctx.record(TOOK.key, 0.1, target="a")
        ctx.failed("b", Failed("loss", "first_byte", "LOSS"))

    targets = (Target("a", "a"), Target("b", "b"))
    report = await run(case(step(fake(half, many=True), targets=targets)), tmp_path)
    outcomes = {attempt.target: attempt.outcome for attempt in report.steps[0].attempts}
    assert outcomes == {"a": "success", "b": "failure"}


async def test_a_target_that_could_not_be_measured_is_no_success(tmp_path: Path) -> None:
    """Good figures of one target don't answer for another that we could not measure at all."""

    async def half(ctx: Context, targets: Sequence[Target]) -> None:
        ctx.record(TOOK.key, 0.1, target="a")
        ctx.failed("b", Failed("config", "resolve", "FAMILY"))

    targets = (Target("a", "a"), Target("b", "b"))
    report = await run(case(step(fake(half, many=True), targets=targets)), tmp_path)
    assert verdicts(report) == {"one": ("error", "invalid")}
    assert report.steps[0].outcome == "success"
    assert report.verdict == "error"


async def test_targets_of_a_one_target_probe_run_one_after_the_other(tmp_path: Path) -> None:
    """Repeated: every repetition of every target is an attempt."""
    targets = (Target("a", "a"), Target("b", "b"))
    report = await run(case(step(fake(quick), targets=targets, repeat=3)), tmp_path)
    attempts = report.steps[0].attempts
    assert [attempt.target for attempt in attempts] == ["a", "b"] * 3
    assert [attempt.index for attempt in attempts] == list(range(6))


async def test_the_time_limit_of_a_step_keeps_what_was_measured(tmp_path: Path) -> None:
    """It is a time-out, and the sample from before counts."""
    report = await run(case(step(fake(forever), time_limit=0.05)), tmp_path)
    row = report.steps[0]
    assert row.error is not None
    assert (row.error.class_, row.error.code, row.error.phase) == ("timeout", "TIME_LIMIT", "transfer")
    assert row.metrics[0].n_valid == 1
    assert report.run.state == "completed"


async def test_the_time_limit_of_the_case_aborts_the_run(tmp_path: Path) -> None:
    """What ran is cancelled, what was to come is skipped, and both stand in the report."""
    report = await run(case(step(fake(forever), "one"), step(fake(quick), "two"), time_limit=0.1), tmp_path)
    assert (report.run.state, report.run.reason) == ("aborted", "time_limit")
    assert report.steps[0].error is not None and report.steps[0].error.class_ == "cancelled"
    assert verdicts(report)["two"] == ("skipped", "run_aborted")


async def test_stop_from_outside_gives_a_whole_report(tmp_path: Path) -> None:
    """As Ctrl-C does; also in the middle of parallel steps."""
    runners: list[Runner] = []
    both = asyncio.Barrier(2)

    async def meet(ctx: Context, targets: Sequence[Target]) -> None:
        ctx.record(TOOK.key, 0.5)
        await both.wait()
        runners[0].stop("interrupted")
        await asyncio.Event().wait()

    made = case([step(fake(meet), "one"), step(fake(meet), "two")], step(fake(quick), "three"))
    report = await run(made, tmp_path, on_ready=runners.append)
    assert (report.run.state, report.run.reason) == ("aborted", "interrupted")
    assert [row.key for row in report.steps] == ["one", "two", "three"]
    assert [row.metrics[0].n_valid for row in report.steps[:2]] == [1, 1]
    assert verdicts(report)["three"] == ("skipped", "run_aborted")


async def test_a_probe_that_will_not_end_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets its grace and no more; the log says so."""
    monkeypatch.setattr("ots.engine.attempt.GRACE", 0.05)
    release = asyncio.Event()

    async def stubborn(ctx: Context, targets: Sequence[Target]) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    report = await run(case(step(fake(stubborn), time_limit=0.05)), tmp_path)
    release.set()
    assert any("did not tidy up" in line.text for line in report.steps[0].log)
    assert report.steps[0].error is not None and report.steps[0].error.code == "TIME_LIMIT"


async def test_parallel_steps_really_overlap(tmp_path: Path) -> None:
    """Two steps that wait for each other both end."""
    both = asyncio.Barrier(2)

    async def meet(ctx: Context, targets: Sequence[Target]) -> None:
        async with asyncio.timeout(5):
            await both.wait()

    report = await run(case([step(fake(meet), "one"), step(fake(meet), "two")]), tmp_path)
    assert {verdict for verdict, _ in verdicts(report).values()} == {"measured"}


async def test_a_companion_starts_with_its_load_and_ends_with_it(tmp_path: Path) -> None:
    """`during`: it succeeds with what it has when the load is over."""
    companion_runs = asyncio.Event()

    async def load(ctx: Context, targets: Sequence[Target]) -> None:
        async with asyncio.timeout(5):
            await companion_runs.wait()

    async def watch(ctx: Context, targets: Sequence[Target]) -> None:
        ctx.record(TOOK.key, 0.5)
        companion_runs.set()
        await asyncio.Event().wait()

    made = case(
        step(fake(load), "down"),
        step(fake(quick), "between"),
        step(fake(watch), "loaded", during="down"),
    )
    report = await run(made, tmp_path)
    loaded = report.steps[2]
    assert (loaded.outcome, loaded.during, loaded.verdict) == ("success", "down", "measured")
    assert "concurrent" in loaded.metrics[0].quality_flags


async def test_a_companion_of_a_load_that_never_ran_is_skipped(tmp_path: Path) -> None:
    """Reason `no_load`, whether the load was skipped or failed to start."""
    missing = Requirement("program", "nothing", lambda: "it isn't there", "install it")
    made = case(step(fake(quick, requires=(missing,)), "down"), step(fake(forever), "loaded", during="down"))
    report = await run(made, tmp_path)
    assert verdicts(report) == {"down": ("skipped", "requirement"), "loaded": ("skipped", "no_load")}
    never = case(
        step(fake(quick), "first"),
        step(fake(quick), "down", when=Condition.parse("steps.first.verdict == 'fail'")),
        step(fake(forever), "loaded", during="down"),
    )
    report = await run(never, tmp_path)
    assert verdicts(report)["loaded"] == ("skipped", "no_load")


async def test_a_companion_of_a_load_that_failed_says_nothing_about_load(tmp_path: Path) -> None:
    """Its samples stay in the report, but it ends as an error with the reason `no_load`."""
    companion_runs = asyncio.Event()

    async def load(ctx: Context, targets: Sequence[Target]) -> None:
        async with asyncio.timeout(5):
            await companion_runs.wait()
        raise Failed("refused", "connect", "ECONNREFUSED")

    async def watch(ctx: Context, targets: Sequence[Target]) -> None:
        ctx.record(TOOK.key, 0.5)
        companion_runs.set()
        await asyncio.Event().wait()

    report = await run(case(step(fake(load), "down"), step(fake(watch), "loaded", during="down")), tmp_path)
    assert verdicts(report)["loaded"] == ("error", "no_load")
    assert report.steps[1].series[0].v == [0.5]
    error = report.steps[1].error
    assert error is not None and error.code == "NO_LOAD"


async def test_a_condition_decides_on_what_came_before(tmp_path: Path) -> None:
    """`when` sees verdicts; a step it excludes is skipped with the reason."""
    made = case(
        step(fake(quick), "first"),
        step(fake(quick), "yes", when=Condition.parse("steps.first.verdict == 'measured'")),
        step(fake(quick), "no", when=Condition.parse("steps.first.outcome == 'failure'")),
    )
    report = await run(made, tmp_path)
    assert verdicts(report)["yes"] == ("measured", None)
    assert verdicts(report)["no"] == ("skipped", "condition_false")


async def test_in_a_run_of_cycles_a_condition_looks_at_its_own_cycle(tmp_path: Path) -> None:
    """What failed in the first cycle does not keep the dependant from running in the second."""
    tries = 0

    async def late(ctx: Context, targets: Sequence[Target]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Failed("refused", "connect", "ECONNREFUSED")

    made = case(
        step(fake(late), "first"),
        step(fake(quick), "after", when=Condition.parse("steps.first.outcome == 'success'")),
    )
    report = await run(made, tmp_path, every=0.05, duration=0.1)
    assert [attempt.cycle for attempt in report.steps[1].attempts] == [1]
    assert any("cycle 1: the condition did not hold" in line.text for line in report.steps[1].log)


async def test_on_failure_stop_skips_the_rest_and_says_after_what(tmp_path: Path) -> None:
    """The steps that were not reached stand in the report."""

    async def fail(ctx: Context, targets: Sequence[Target]) -> None:
        raise Failed("refused", "connect", "ECONNREFUSED")

    made = case(step(fake(fail), "bad", on_failure="stop"), step(fake(quick), "rest"))
    report = await run(made, tmp_path)
    assert verdicts(report)["rest"] == ("skipped", "stopped_after:bad")
    assert (report.run.state, report.verdict) == ("completed", "fail")


@pytest.mark.parametrize(("lack", "verdict"), [("program", "skipped"), ("right", "error")])
async def test_what_is_missing_is_told_with_its_remedy(lack: Any, verdict: str, tmp_path: Path) -> None:
    """A missing program skips, a missing right is an error; the probe is not called."""
    missing = Requirement(lack, "tool", lambda: "tool isn't there", "apt install tool")
    report = await run(case(step(fake(forever, requires=(missing,)))), tmp_path)
    row = report.steps[0]
    assert row.verdict == verdict
    assert row.error is not None and row.error.remedy == "apt install tool"


async def test_only_a_retryable_invalid_attempt_is_tried_again_and_both_are_kept(tmp_path: Path) -> None:
    """A retry never erases the attempt before it; a failure is never retried."""
    tries = 0

    async def flaky(ctx: Context, targets: Sequence[Target]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Failed("resource", "connect", "EMFILE", retryable=True)

    report = await run(case(step(fake(flaky), retries=2)), tmp_path)
    assert [attempt.outcome for attempt in report.steps[0].attempts] == ["invalid", "success"]
    assert report.steps[0].outcome == "success"

    async def refused(ctx: Context, targets: Sequence[Target]) -> None:
        raise Failed("refused", "connect", "ECONNREFUSED", retryable=True)

    report = await run(case(step(fake(refused), retries=2)), tmp_path)
    assert len(report.steps[0].attempts) == 1


async def test_cycles_append_attempts_to_the_same_steps(tmp_path: Path) -> None:
    """`--every --for`: one report, the attempts know their cycle."""
    report = await run(case(step(fake(quick))), tmp_path, every=0.05, duration=0.15)
    assert [attempt.cycle for attempt in report.steps[0].attempts] == [0, 1, 2]
    assert report.run.cycles == 3
    assert len(report.steps) == 1


async def test_the_data_budget_ends_a_step_and_refuses_the_next(tmp_path: Path) -> None:
    """Enforced during, and before by the estimate; both say that data was the reason."""

    async def move(ctx: Context, targets: Sequence[Target]) -> None:
        for _ in range(100):
            ctx.budget.spend(received=100)

    unbounded = Estimate(0.1, None, 0)
    made = case(step(fake(move, estimate=unbounded), "one"), step(fake(quick), "two"))
    report = await run(made, tmp_path, limit=500)
    assert report.run.data.received_bytes == 500
    errors = [row.error.code for row in report.steps if row.error is not None]
    assert errors == ["DATA_BUDGET", "DATA_BUDGET"]
    assert report.verdict == "error"


async def test_a_licence_refuses_in_the_planner(tmp_path: Path) -> None:
    """The step is skipped, never started, and told which tier would allow it."""

    class Nothing:
        def refusal(self, feature: str) -> Refusal | None:
            return Refusal(feature, "default", "professional")

    report = await run(case(step(fake(forever))), tmp_path, entitlement=Nothing())
    row = report.steps[0]
    assert (row.verdict, row.reason) == ("skipped", "license")
    assert row.error is not None and "professional" in (row.error.remedy or "")


@pytest.mark.parametrize(("on_fail", "verdict"), [("fail", "fail"), ("skip", "skipped")])
async def test_a_failed_precheck_keeps_the_steps_from_running(
    on_fail: Any, verdict: str, tmp_path: Path
) -> None:
    """With `fail` an outage is a result; with `skip` it is not."""

    async def dead(ctx: Context, targets: Sequence[Target]) -> None:
        raise Failed("unreachable", "connect", "ENETUNREACH")

    spec = PrecheckSpec(fake(dead), Target("g", "g"), FakeParams(), 0.0, on_fail)
    report = await run(case(step(fake(quick)), precheck=spec), tmp_path)
    assert report.verdict == verdict
    assert report.run.precheck is not None and report.run.precheck.outcome == "failure"
    assert verdicts(report)["one"] == ("skipped", "precheck_failed")


async def test_the_step_says_how_late_our_own_event_loop_was(tmp_path: Path) -> None:
    """A probe that blocks the loop shows up in the result's own load."""
    import time

    async def block(ctx: Context, targets: Sequence[Target]) -> None:
        await asyncio.sleep(0.05)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            pass
        await asyncio.sleep(0.05)

    report = await run(case(step(fake(block))), tmp_path)
    lag = report.steps[0].load["loop_lag_max_seconds"]
    assert isinstance(lag, float) and lag > 0.1
    assert report.steps[0].nulls["load.loop_lag_p99_seconds"] == "too_few_samples"


async def test_repeated_parallel_steps_keep_their_own_watch(tmp_path: Path) -> None:
    """Windows of the lag watch that hold the same figures are still two."""
    made = case([step(fake(quick), "one", repeat=2), step(fake(quick), "two"), step(fake(quick), "three")])
    report = await run(made, tmp_path)
    assert (report.run.state, report.run.reason) == ("completed", None)


async def test_a_stepped_clock_is_seen_and_changes_no_duration(tmp_path: Path) -> None:
    """The wall clock jumps by an hour in the middle: metrics are flagged, times stay what they were."""
    clock = SteppedClock()

    async def step_clock(ctx: Context, targets: Sequence[Target]) -> None:
        clock.offset = 3600.0
        ctx.record(TOOK.key, 0.5)

    made = environment(tmp_path, clock=clock)
    report = await run_plan(planned(case(step(fake(step_clock)))), made, empty_report())
    assert "clock_step" in report.steps[0].metrics[0].quality_flags
    assert report.run.clock["step_seconds"] == pytest.approx(3600, abs=1)
    assert report.run.duration is not None and report.run.duration < 10
    assert report.steps[0].duration < 10


async def test_no_task_is_left_after_a_run(tmp_path: Path) -> None:
    """Neither the watch nor a probe outlives it."""
    await run(case(step(fake(forever), time_limit=0.05)), tmp_path)
    assert asyncio.all_tasks() == {asyncio.current_task()}
