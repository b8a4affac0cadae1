"""What becomes of planned runs in named situations, with a clock that is made up.

An agent wakes at each planned moment unless it is away; every row says what is placed, moved, late, missed,
skipped or refused, and why.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ots.schedule.document import Schedule
from ots.schedule.placing import Placement, decide, ended, foresee, forget, next_moment
from ots.schedule.state import Absence, Budget, Course, Job, State, World
from ots.schema.place import InOptions
from ots.schema.schedule import read_schedule
from ots.strictyaml import Problem

AGENT = "5b0e3a52-6f0a-4b0e-9f57-52a8d6f0c001"
BERLIN, SHANGHAI, UTC = "Europe/Berlin", "Asia/Shanghai", "UTC"
DAY = 86_400.0


def schedule(**written: Any) -> Schedule:
    problems: list[Problem] = []
    found = read_schedule(written, InOptions(lambda path: ".".join(map(str, path)), problems))
    assert found is not None, problems
    return found


def at(text: str, zone: str = UTC) -> float:
    """`03-29 01:30` in 2026, or with a year; `*` behind it means the second time that it comes."""
    again = text.endswith("*")
    text = text.rstrip("*")
    local = datetime.fromisoformat(text if len(text.split("-")) == 3 else f"2026-{text}")
    return local.replace(tzinfo=ZoneInfo(zone), fold=int(again)).timestamp()


def shown(moment: float, zone: str) -> str:
    local = datetime.fromtimestamp(moment, ZoneInfo(zone))
    form = "%m-%d %H:%M" if local.second == 0 else "%m-%d %H:%M:%S"
    return local.strftime(form) + ("*" if local.fold else "")


def line(placement: Placement, zone: str, names: bool = False) -> str:
    """`03-29 03:00 run planned`; `… → 03:05` where it starts later, `… x3` for several that were missed."""
    text = f"{shown(placement.planned_at, zone)} {placement.decision} {placement.code}"
    if placement.starts_at is not None and placement.starts_at - placement.planned_at >= 1:
        text += f" → {shown(placement.starts_at, zone)[6:]}"
    if placement.count > 1:
        text += f" x{placement.count}"
    return f"{placement.schedule_id}: {text}" if names else text


@dataclass(frozen=True)
class Situation:
    """`away`: from, to, why; at its end the agent wakes. `leaps`: at this moment the clock shows that one."""

    name: str
    plan: Schedule | dict[str, Schedule]
    start: str
    end: str
    expected: Sequence[str]
    zone: str = UTC
    away: Sequence[tuple[str, str, Absence]] = ()
    leaps: Sequence[tuple[str, str]] = ()
    reason: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    world: dict[str, Any] = field(default_factory=dict)

    def jobs(self) -> list[Job]:
        plans = self.plan if isinstance(self.plan, dict) else {"s": self.plan}
        return [Job(name, plan, "eth0", **self.job) for name, plan in plans.items()]


def every(text: str, **more: Any) -> Schedule:
    return schedule(every=text, spread="0 s", **more)


def cron(text: str, zone: str, **more: Any) -> Schedule:
    return schedule(cron=text, zone=zone, **more)


LOAD = {"exclusive": True, "seconds": 120.0, "bytes": 10**9}

SITUATIONS = [
    # Daylight saving, both ways
    Situation("a night job on the day that loses its hour", cron("30 2 * * *", BERLIN), "03-28 12:00",
              "03-30 12:00", ["03-29 03:00 run planned", "03-30 02:30 run planned"], BERLIN),
    Situation("why it runs at three", cron("30 2 * * *", BERLIN), "03-28 12:00", "03-29 12:00",
              ["03-29 03:00 run planned"], BERLIN, reason="left out"),
    Situation("a night job on the day that has its hour twice", cron("30 2 * * *", BERLIN), "10-24 12:00",
              "10-26 12:00", ["10-25 02:30 run planned", "10-26 02:30 run planned"], BERLIN),
    Situation("why it runs the first time only", cron("30 2 * * *", BERLIN), "10-24 12:00", "10-25 12:00",
              ["10-25 02:30 run planned"], BERLIN, reason="comes twice"),
    Situation("learnt of within the hour that comes again", cron("30 2 * * *", BERLIN), "10-25 02:10*",
              "10-26 12:00", ["10-26 02:30 run planned"], BERLIN),
    Situation("hourly across the lost hour", cron("0 * * * *", BERLIN), "03-29 00:30", "03-29 04:30",
              ["03-29 01:00 run planned", "03-29 03:00 run planned", "03-29 04:00 run planned"], BERLIN),
    Situation("hourly across the hour that comes twice", cron("0 * * * *", BERLIN), "10-25 01:30",
              "10-25 03:30", ["10-25 02:00 run planned", "10-25 02:00* run planned",
                              "10-25 03:00 run planned"], BERLIN),
    Situation("every half an hour does not know of daylight saving", every("30 min"), "03-29 00:45",
              "03-29 02:15", ["03-29 01:00 run planned", "03-29 01:30 run planned",
                              "03-29 02:00 run planned"]),
    Situation("two times that fall on one", cron("0,30 2 * * *", BERLIN), "03-28 12:00", "03-29 12:00",
              ["03-29 03:00 run planned"], BERLIN),
    Situation("half an hour of daylight saving", cron("15 2 * * *", "Australia/Lord_Howe"), "10-03 12:00",
              "10-05 12:00", ["10-04 02:30 run planned", "10-05 02:15 run planned"], "Australia/Lord_Howe"),
    Situation("a zone without daylight saving", cron("30 2 * * *", SHANGHAI), "03-28 12:00", "03-30 12:00",
              ["03-29 02:30 run planned", "03-30 02:30 run planned"], SHANGHAI),
    Situation("asleep over the lost hour, made up for", cron("30 2 * * *", BERLIN, catch_up="once"),
              "03-28 12:00", "03-29 12:00", ["03-29 03:00 late caught_up → 07:00"], BERLIN,
              away=[("03-28 23:00", "03-29 07:00", "asleep")]),
    Situation("a window over the lost hour", every("20 min", windows=["01:00-04:00"], zone=BERLIN),
              "03-29 00:10", "03-29 05:00",
              ["03-29 01:00 run planned", "03-29 01:20 run planned", "03-29 01:40 run planned",
               "03-29 03:00 run planned", "03-29 03:20 run planned", "03-29 03:40 run planned"], BERLIN),
    # The calendar
    Situation("leap day", cron("0 12 29 2 *", UTC), "2026-02-01 00:00", "2032-03-01 00:00",
              ["02-29 12:00 run planned", "02-29 12:00 run planned"]),
    Situation("the day before leap day is followed by it", cron("0 12 * * *", UTC), "2028-02-28 00:00",
              "2028-03-01 00:00", ["02-28 12:00 run planned", "02-29 12:00 run planned"]),
    Situation("every last day of a month", cron("0 9 L * *", UTC), "01-01 00:00", "03-31 23:00",
              ["01-31 09:00 run planned", "02-28 09:00 run planned", "03-31 09:00 run planned"]),
    Situation("working days", cron("0 9 * * 1-5", UTC), "03-06 00:00", "03-10 00:00",
              ["03-06 09:00 run planned", "03-09 09:00 run planned"]),
    Situation("over New Year", every("6 h"), "2025-12-31 17:00", "2026-01-01 07:00",
              ["12-31 18:00 run planned", "01-01 00:00 run planned", "01-01 06:00 run planned"]),
    # Windows and spread
    Situation("only in office hours", every("4 h", windows=["mon-fri 08:00-18:00"], zone=UTC), "03-06 07:00",
              "03-09 09:00", ["03-06 08:00 run planned", "03-06 12:00 run planned",
                              "03-06 16:00 run planned", "03-09 08:00 run planned"]),
    Situation("a window over midnight belongs to its first day",
              every("2 h", windows=["fri 22:00-04:00"], zone=UTC), "03-06 12:00", "03-07 12:00",
              ["03-06 22:00 run planned", "03-07 00:00 run planned", "03-07 02:00 run planned"]),
    Situation("cron outside of its windows is not planned", cron("0 */6 * * *", UTC, windows=["10:00-14:00"]),
              "03-06 00:00", "03-07 00:00", ["03-06 12:00 run planned"]),
    Situation("spread over the period by the agent's id", schedule(every="1 h"), "03-06 00:00",
              "03-06 02:00", ["03-06 00:32:16 run planned", "03-06 01:32:16 run planned"],
              reason="by this agent's id"),
    Situation("cron is spread only if it says so", cron("0 3 * * *", UTC, spread="30 min"), "03-06 00:00",
              "03-07 00:00", ["03-06 03:16:08 run planned"]),
    # Campaigns
    Situation("a campaign begins the next day and ends",
              schedule(campaign={"runs_per_day": 2, "days": 2, "min_gap": "3 h"}, zone=UTC), "03-06 10:00",
              "03-12 00:00", ["03-07 11:52:53 run planned", "03-07 16:22:16 run planned",
                              "03-08 06:40:40 run planned", "03-08 14:37:34 run planned"]),
    Situation("a campaign with a first day, in a window",
              schedule(campaign={"runs_per_day": 1, "days": 1, "first": "2026-03-09"}, zone=UTC,
                       windows=["09:00-10:00"]), "03-06 10:00", "03-12 00:00",
              ["03-09 09:08:29 run planned"]),
    # Sleep, stops, and clocks
    Situation("asleep: nothing is made up for by itself", every("1 h"), "03-06 00:30", "03-06 06:30",
              ["03-06 01:00 run planned", "03-06 02:00 missed asleep x3", "03-06 05:00 run planned",
               "03-06 06:00 run planned"], away=[("03-06 01:10", "03-06 04:40", "asleep")]),
    Situation("asleep: one run makes up for all", every("1 h", catch_up="once"), "03-06 00:30",
              "03-06 06:30", ["03-06 01:00 run planned", "03-06 02:00 missed asleep x2",
              "03-06 04:00 late caught_up → 04:40",
               "03-06 05:00 run planned", "03-06 06:00 run planned"],
              away=[("03-06 01:10", "03-06 04:40", "asleep")]),
    Situation("asleep: what loads a link is never made up for", every("1 h", catch_up="once"), "03-06 00:30",
              "03-06 05:30", ["03-06 01:00 run planned", "03-06 02:00 missed asleep x3",
                              "03-06 05:00 run planned"], reason="never made up for", job=LOAD,
              away=[("03-06 01:10", "03-06 04:40", "asleep")]),
    Situation("woken within a minute of the moment", every("1 h"), "03-06 00:30", "03-06 03:10",
              ["03-06 01:00 run planned", "03-06 02:00 missed asleep", "03-06 03:00 run planned → 03:00:40"],
              away=[("03-06 01:10", "03-06 03:00:40", "asleep")]),
    Situation("a short sleep between two moments", every("1 h"), "03-06 00:30", "03-06 02:30",
              ["03-06 01:00 run planned", "03-06 02:00 run planned"],
              away=[("03-06 01:10", "03-06 01:50", "asleep")]),
    Situation("the agent did not run for a day", every("6 h"), "03-06 05:00", "03-07 13:00",
              ["03-06 06:00 run planned", "03-06 12:00 missed stopped x3", "03-07 06:00 run planned",
               "03-07 12:00 run planned"], away=[("03-06 07:00", "03-07 05:00", "stopped")]),
    Situation("a month off: what lies too far back is not counted", every("1 d"), "03-01 12:00",
              "04-02 12:00", ["03-25 00:00 missed stopped x8", "04-02 00:00 run planned"],
              away=[("03-01 13:00", "04-01 13:00", "stopped")]),
    Situation("two that sleep are made up for one after the other",
              {"a": every("6 h", catch_up="once"), "b": every("6 h", catch_up="once")}, "03-06 05:00",
              "03-06 11:00", ["a: 03-06 06:00 late caught_up → 08:00",
                              "b: 03-06 06:00 late caught_up → 08:00:30"],
              away=[("03-06 05:10", "03-06 08:00", "asleep")]),
    Situation("the clock is set forward over two moments", every("1 h"), "03-06 00:30", "03-06 04:30",
              ["03-06 01:00 run planned", "03-06 02:00 missed clock x2", "03-06 04:00 run planned"],
              leaps=[("03-06 01:10", "03-06 03:20")]),
    Situation("the clock is set back: time goes on", every("1 h"), "03-06 08:30", "03-06 03:30",
              ["03-06 09:00 run planned", "03-06 02:00 run planned", "03-06 03:00 run planned"],
              leaps=[("03-06 09:10", "03-06 01:10")]),
    Situation("the clock is set back a little: nothing comes twice", every("1 h"), "03-06 08:30",
              "03-06 10:30", ["03-06 09:00 run planned", "03-06 10:00 run planned"],
              leaps=[("03-06 09:00:20", "03-06 08:59:40")]),
    Situation("from 1970 to today", every("1 d", catch_up="once"), "1970-01-01 00:10", "2026-03-07 12:00",
              ["02-27 00:00 missed clock x7", "03-06 00:00 late caught_up → 11:00",
               "03-07 00:00 run planned"], leaps=[("1970-01-01 00:20", "2026-03-06 11:00")]),
    # Links
    Situation("two that want one link: the second is moved", {"a": every("1 h"), "b": every("1 h")},
              "03-06 00:30", "03-06 01:30",
              ["a: 03-06 01:00 run planned", "b: 03-06 01:00 late moved → 01:02"], job=LOAD,
              reason="eth0 is busy with a"),
    Situation("three: each waits for the one before",
              {"a": every("1 h"), "b": every("1 h"), "c": every("1 h")}, "03-06 00:30", "03-06 01:30",
              ["a: 03-06 01:00 run planned", "b: 03-06 01:00 late moved → 01:02",
               "c: 03-06 01:00 late moved → 01:04"], job=LOAD),
    Situation("put off no further than the next run", {"a": every("1 h"), "b": every("5 min")}, "03-06 00:58",
              "03-06 01:06", ["a: 03-06 01:00 run planned", "b: 03-06 01:00 skipped link_busy",
                              "b: 03-06 01:05 skipped link_busy"], job={**LOAD, "seconds": 1200.0}),
    Situation("put off no further than an hour", {"a": every("6 h"), "b": every("6 h")}, "03-06 05:00",
              "03-06 07:00", ["a: 03-06 06:00 run planned", "b: 03-06 06:00 skipped link_busy"],
              job={**LOAD, "seconds": 5400.0}),
    Situation("put off no further than its window",
              {"a": every("6 h"), "b": every("6 h", windows=["05:00-06:01"], zone=UTC)}, "03-06 05:00",
              "03-06 07:00", ["a: 03-06 06:00 run planned", "b: 03-06 06:00 skipped link_busy"], job=LOAD),
    Situation("light runs share a link", {"a": every("1 h"), "b": every("1 h")}, "03-06 00:30", "03-06 01:30",
              ["a: 03-06 01:00 run planned", "b: 03-06 01:00 run planned"], job={"seconds": 120.0}),
    Situation("a run that is longer than its period", every("10 min"), "03-06 00:05", "03-06 00:45",
              ["03-06 00:10 run planned", "03-06 00:20 skipped overlap", "03-06 00:30 run planned",
               "03-06 00:40 skipped overlap"], job={"seconds": 900.0}),
    # Budgets
    Situation("a month's data run out", every("1 d"), "03-06 12:00", "03-10 12:00",
              ["03-07 00:00 run planned", "03-08 00:00 run planned", "03-09 00:00 skipped budget",
               "03-10 00:00 skipped budget"], job=LOAD, world={"budgets": {"eth0": Budget(2_500_000_000)}}),
    Situation("a new month begins on its day", every("1 d"), "03-12 12:00", "03-16 12:00",
              ["03-13 00:00 run planned", "03-14 00:00 skipped budget", "03-15 00:00 run planned",
               "03-16 00:00 skipped budget"], job=LOAD,
              world={"budgets": {"eth0": Budget(1_500_000_000, 15)}}),
    Situation("another link's budget", every("1 d"), "03-06 12:00", "03-07 12:00",
              ["03-07 00:00 run planned"], job=LOAD, world={"budgets": {"wwan0": Budget(1)}}),
    Situation("a budget and nobody can say how much", every("1 d"), "03-06 12:00", "03-07 12:00",
              ["03-07 00:00 skipped budget"], job={**LOAD, "bytes": None}, reason="nobody can say",
              world={"budgets": {"eth0": Budget(10**12)}}),
    # What keeps a run from being
    Situation("the licence's floor", every("10 min"), "03-06 00:05", "03-06 00:45",
              ["03-06 00:10 run planned", "03-06 00:20 refused floor", "03-06 00:30 run planned",
               "03-06 00:40 refused floor"], world={"floor": 900.0}),
    Situation("a period of just the floor", every("15 min"), "03-06 00:05", "03-06 00:35",
              ["03-06 00:15 run planned", "03-06 00:30 run planned"], world={"floor": 900.0}),
    Situation("held", every("1 h"), "03-06 00:30", "03-06 01:30", ["03-06 01:00 skipped held"],
              world={"held": "held at this machine: maintenance"}, reason="maintenance"),
    Situation("a case that can't run", every("1 h"), "03-06 00:30", "03-06 01:30",
              ["03-06 01:00 refused case"],
              job={"refusal": "no case of that name"}, reason="no case"),
    Situation("its run before goes on, whatever was estimated", every("1 h"), "03-06 00:30",
              "03-06 01:30", ["03-06 01:00 skipped overlap"], world={"running": frozenset({"s"})}),
    Situation("an assignment that ends", every("1 h"), "03-06 00:30", "03-06 05:30",
              ["03-06 01:00 run planned", "03-06 02:00 run planned"], job={"not_after": at("03-06 02:00")}),
]  # fmt: skip


def walk(situation: Situation) -> Iterator[Placement]:
    """The situation, wake by wake."""
    jobs, state, world = situation.jobs(), State(), World(AGENT, **situation.world)
    zone = situation.zone
    now, end = at(situation.start, zone), at(situation.end, zone)
    assert list(decide(jobs, state, world, now)) == []
    gaps = [(at(begin, zone), at(wake, zone), why) for begin, wake, why in situation.away]
    gaps += [(at(begin, zone), at(shows, zone), "clock") for begin, shows in situation.leaps]
    while True:
        moment = next_moment(jobs, state, world)
        moment = float("inf") if moment is None else moment
        if gaps and gaps[0][0] <= moment:
            begin, now, why = gaps.pop(0)
            yield from decide(jobs, state, world, begin, "busy")
            yield from decide(jobs, state, world, now, why)
        elif gaps or moment <= end:
            yield from decide(jobs, state, world, moment)
        else:
            return


def test_there_are_many_of_them() -> None:
    assert len({each.name for each in SITUATIONS}) == len(SITUATIONS) >= 40


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
def test_situation(situation: Situation) -> None:
    found = list(walk(situation))
    several = isinstance(situation.plan, dict)
    assert [line(each, situation.zone, several) for each in found] == list(situation.expected)
    assert any(situation.reason in each.reason for each in found)
    assert len({each.order_id for each in found}) == len(found)


@pytest.mark.parametrize(
    "situation",
    [each for each in SITUATIONS if not each.away and not each.leaps],
    ids=lambda each: each.name,
)
def test_a_dry_run_says_the_same(situation: Situation) -> None:
    world, state = World(AGENT, **situation.world), State()
    start, end = at(situation.start, situation.zone), at(situation.end, situation.zone)
    found = foresee(situation.jobs(), state, world, start, end)
    assert [line(each, situation.zone, isinstance(situation.plan, dict)) for each in found] == list(
        situation.expected
    )
    assert state == State()


def test_a_month_of_many_schedules_takes_seconds() -> None:
    plans = {
        "often": schedule(every="5 min"),
        "hourly": cron("7 * * * *", BERLIN),
        "nightly": cron("30 2 * * *", BERLIN, spread="20 min"),
        "office": schedule(every="15 min", windows=["mon-fri 08:00-18:00"], zone=BERLIN),
        "acceptance": schedule(campaign={"runs_per_day": 24, "days": 30, "min_gap": "20 min"}, zone=BERLIN),
    }
    loads = {"nightly", "acceptance"}
    jobs = [Job(name, plan, "eth0", exclusive=name in loads, seconds=30.0) for name, plan in plans.items()]
    begun = time.monotonic()
    found = foresee(jobs, State(), World(AGENT), at("03-15 00:00", BERLIN), at("04-15 00:00", BERLIN))
    took = time.monotonic() - begun
    counts = {name: sum(each.schedule_id == name for each in found) for name in plans}
    assert counts == {"often": 8916, "hourly": 743, "nightly": 31, "office": 22 * 40, "acceptance": 720}
    assert took < 5, took


def test_a_schedule_that_is_gone_is_forgotten_once_nobody_would_count_what_it_missed() -> None:
    here, gone, state = Job("here", every("30 d"), "eth0"), Job("gone", every("1 d"), "eth0"), State()
    start = at("03-06 12:00")
    assert decide([here, gone], state, World(AGENT), start) == []
    forget([here], state, start + 8 * DAY)
    assert set(state.courses) == {"here", "gone"}
    forget([here], state, start + 8 * DAY + 1)
    assert set(state.courses) == {"here"}, "a moment a month is no reason to forget"


def test_what_a_run_really_moved_counts() -> None:
    job = Job("s", every("1 d"), "eth0", exclusive=True, seconds=60.0, bytes=1000)
    state, world = State(), World(AGENT, budgets={"eth0": Budget(1500)})
    start = at("03-06 00:00")
    state.courses["s"] = Course(since=start - 1, settled=start - 1)
    assert [each.decision for each in decide([job], state, world, start)] == ["run"]
    ended(state, job, start + 20, 200)
    assert state.link("eth0").moved == 200
    assert state.link("eth0").busy_until == start + 20
    assert [each.decision for each in decide([job], state, world, start + DAY)] == ["run"]
