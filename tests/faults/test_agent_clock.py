"""The resident agent while its clock is set back, set forward, goes over a daylight-saving change, or stands
still because the machine was suspended: nothing runs twice, and what was missed is told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ots.agent.ledger import Ledger
from tests.peers.shifted_clock import ShiftedClock
from tests.resident_kit import LOAD, Resident, soon, utc

pytestmark = pytest.mark.slow


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Resident]:
    """On a machine on which it is half past nine; what it measures are connections to a socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as target:
        clock = ShiftedClock(tmp_path / "clock")
        clock.set(utc("2027-03-10 09:30"))
        yield Resident(tmp_path, clock, f"127.0.0.1:{target.getsockname()[1]}")


def test_set_back_a_moment_that_had_its_run_has_no_second_one(agent: Resident) -> None:
    agent.plan("hourly", "{every: 1 h, spread: 0 s}")
    with agent.at_work():
        agent.set_clock("2027-03-10 10:00:01")
        agent.has_run(1)
        agent.set_clock("2027-03-10 09:59:30")
        agent.set_clock("2027-03-10 10:00:20")
        agent.set_clock("2027-03-10 11:00:01")
        agent.has_run(2)
        agent.set_clock("2027-03-10 09:10")  # two hours back: nothing is due until ten o'clock comes again
        agent.set_clock("2027-03-10 09:59:30")
        assert [when for _, when in agent.ran()] == ["10:00", "11:00"]
        agent.set_clock("2027-03-10 10:00:01")
        agent.has_run(3)
    assert [when for _, when in agent.ran()] == ["10:00", "11:00", "10:00"]
    assert agent.did_not_run() == []
    orders = [each.tags["ots.order"] for each in agent.reports()]
    assert len(set(orders)) == 3, "the hour that came again is another one"
    ledger = Ledger.of(agent.data)
    found = [ledger.get(order) for order in orders]
    ledger.close()
    assert [None if entry is None else entry.state for entry in found] == ["finished"] * 3


def _forward(agent: Resident) -> None:
    agent.set_clock("2027-03-10 13:20")


def _asleep(agent: Resident) -> None:
    agent.sleep(utc("2027-03-10 13:20") - agent.clock.now())


@pytest.mark.parametrize(
    ("passes", "why"),
    [(_forward, "the clock was set forward"), (_asleep, "the machine was asleep")],
    ids=["set-forward", "suspended"],
)
def test_what_was_missed_is_told_and_no_load_is_made_up_for(
    agent: Resident, passes: Callable[[Resident], None], why: str
) -> None:
    agent.plan("hourly", "{every: 1 h, spread: 0 s}")
    agent.plan("once", '{cron: "45 12 * * *", zone: UTC, catch_up: once}')
    agent.plan("load", '{cron: "30 12 * * *", zone: UTC, catch_up: once}', LOAD)
    with agent.at_work():
        passes(agent)
        soon(lambda: len(agent.did_not_run()) == 2)
        agent.has_run(1)
        assert agent.ran() == [("once", "12:45")], "a light one is made up for, as it was asked to"
        assert sorted(agent.did_not_run()) == [
            ("hourly", "10:00", f"missed: {why}; runs are not made up for"),
            ("load", "12:30", f"missed: {why}; what loads a link is never made up for"),
        ]
        (hourly,) = (each for each in agent.reports() if each.tags["ots.schedule"] == "hourly")
        assert hourly.tags["ots.planned-count"] == "4", "10, 11, 12 and 13 o'clock"
        agent.set_clock("2027-03-10 14:00:01")
        agent.has_run(2)
        assert ("hourly", "14:00") in agent.ran()


def test_over_both_changes_of_daylight_saving_there_is_one_run_a_night(agent: Resident) -> None:
    agent.plan("nightly", '{cron: "30 2 * * *", zone: Europe/Berlin}')
    agent.clock.set(utc("2027-03-28 00:59:30"))
    with agent.at_work():
        agent.set_clock("2027-03-28 01:00:01")  # 2 o'clock was left out, it is 3
        agent.has_run(1)
        agent.set_clock("2027-03-28 01:30:01")
        agent.set_clock("2027-10-31 00:29:30")
        soon(lambda: len(agent.did_not_run()) == 1)
        agent.set_clock("2027-10-31 00:30:01")  # half past two for the first time
        agent.has_run(2)
        agent.set_clock("2027-10-31 01:30:01")  # and for the second
        agent.set_clock("2027-11-01 01:29:30")
        assert len(agent.ran()) == 2
        agent.set_clock("2027-11-01 01:30:01")
        agent.has_run(3)
    assert [when for _, when in agent.ran()] == ["01:00", "00:30", "01:30"]
    ((_, _, reason),) = agent.did_not_run()
    assert reason == "missed: the clock was set forward; runs are not made up for"
