"""Whatever the schedules, the sleeps and the clock: no two exclusive runs overlap on one link, and no more
than one run makes up for what was missed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ots.schedule.document import Campaign, Schedule
from ots.schedule.moments import moments
from ots.schedule.placing import MOST_MOVED, Placement, decide
from ots.schedule.state import Absence, Job, State, World
from ots.schedule.window import Window

START = 1_774_600_000.0
"""Two days before daylight saving begins in Europe."""

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe", "America/New_York"])
MINUTE = st.integers(0, 1439)
WINDOWS = st.lists(
    st.builds(Window, MINUTE, MINUTE, st.frozensets(st.integers(0, 6), min_size=1)), max_size=2
).map(tuple)
CATCH_UP = st.sampled_from(["none", "once"])
SCHEDULES = st.one_of(
    st.builds(
        Schedule,
        every=st.sampled_from([600.0, 900.0, 3600.0, 86400.0]),
        zone=ZONES,
        windows=WINDOWS,
        catch_up=CATCH_UP,
        spread=st.sampled_from([None, 0.0, 30.0]),
    ),
    st.builds(
        Schedule,
        cron=st.sampled_from(["*/15 * * * *", "30 2 * * *", "0 1,2,3 * * *", "0 0 29 2 *", "5 4 * * sun"]),
        zone=ZONES,
        catch_up=CATCH_UP,
        spread=st.sampled_from([None, 600.0]),
    ),
    st.builds(
        Schedule,
        campaign=st.builds(Campaign, st.integers(1, 20), st.integers(1, 5), st.sampled_from([0.0, 3600.0])),
        zone=ZONES,
        windows=WINDOWS,
        catch_up=CATCH_UP,
    ),
)
JOBS = st.lists(
    st.tuples(SCHEDULES, st.booleans(), st.sampled_from([1.0, 45.0, 700.0, 4000.0])), min_size=1, max_size=4
)
WAKES = st.lists(
    st.tuples(
        st.sampled_from([0.3, 30.0, 59.0, 61.0, 900.0, 5000.0, 90_000.0, -30.0, -4000.0]),
        st.sampled_from(["asleep", "stopped", "clock", "busy"]),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(JOBS, WAKES, st.one_of(st.none(), st.just(900.0)))
def test_exclusive_runs_never_overlap_and_little_is_made_up_for(
    planned: list[tuple[Schedule, bool, float]],
    wakes: list[tuple[float, Absence]],
    floor: float | None,
) -> None:
    jobs = [
        Job(f"s{number}", plan, "eth0", exclusive=alone, seconds=seconds)
        for number, (plan, alone, seconds) in enumerate(planned)
    ]
    by_id = {job.schedule_id: job for job in jobs}
    state, world, now = State(), World("a", floor), START
    decide(jobs, state, world, now)
    since_set_back: list[Placement] = []
    ids: list[str] = []
    for step, absence in wakes:
        now += step
        if step < -60:
            since_set_back = []
        found = decide(jobs, state, world, now, absence)
        ids += [each.order_id for each in found]
        for job in jobs:
            own = [each for each in found if each.schedule_id == job.schedule_id]
            assert sum(each.code == "caught_up" for each in own) <= (0 if job.exclusive else 1)
            assert sum(each.starts_at is not None for each in own) <= 1
        since_set_back += [each for each in found if each.starts_at is not None]
        alone = sorted(
            (each.starts_at or 0.0, by_id[each.schedule_id].seconds)
            for each in since_set_back
            if by_id[each.schedule_id].exclusive
        )
        assert all(start + seconds <= following for (start, seconds), (following, _) in pairwise(alone))
        for each in found:
            assert each.starts_at is None or each.starts_at >= each.planned_at
            assert each.code != "moved" or (each.starts_at or 0) <= each.planned_at + MOST_MOVED
    assert len(set(ids)) == len(ids)


MORE_THAN_THREE_DAYS = 500
"""Moments, of which the densest schedule has six an hour."""

NIGHTS = (Window(1320, 420), Window(360, 540))
"""A window over midnight, and one that begins before it ends."""


@settings(max_examples=60, deadline=None)
@given(SCHEDULES, st.floats(0, 3 * 86_400))
@example(Schedule(campaign=Campaign(20, 5, 0.0), zone="UTC", windows=NIGHTS), 100_000.0)
@example(Schedule(campaign=Campaign(20, 5, 3600.0), zone="UTC", windows=NIGHTS), 100_000.0)
def test_moments_come_in_order_whenever_one_asks(plan: Schedule, later: float) -> None:
    everything = list(islice(_moments(plan, START), MORE_THAN_THREE_DAYS))
    assert all(one < following for one, following in pairwise(everything))
    rest = list(islice(_moments(plan, START + later), 5))
    assert rest == [moment for moment in everything if moment > START + later][:5]
    if plan.campaign is not None and plan.campaign.min_gap:
        gap = plan.campaign.min_gap
        assert all(following - one >= gap - 0.01 for one, following in pairwise(everything))


def _moments(plan: Schedule, after: float) -> Iterator[float]:
    return moments(plan, "seed", START, after)
