"""What all runs of a data folder have moved over a link, and what still fits into its month."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ots.agent.link_accounts import take_over, uses
from ots.engine.budget import DataBudget
from ots.schedule.document import Schedule
from ots.schedule.state import Budget, Job, State
from ots.session.link_record import FILE, BeyondBudget, LinkRecord, LinkRecordError

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0
BUDGETS = {"wwan0": Budget(1000, 15)}


@pytest.fixture
def record(tmp_path: Path) -> Iterator[LinkRecord]:
    opened = LinkRecord(tmp_path)
    yield opened
    opened.close()


def taken(record: LinkRecord, moment: float = NOW) -> tuple[int, int]:
    """What the link has moved in its month, and what is set aside."""
    use = record.use("wwan0", BUDGETS["wwan0"].month(moment), moment)
    return use.moved, sum(use.aside.values())


def test_a_month_adds_up_what_all_runs_moved_in_whatever_network(record: LinkRecord) -> None:
    record.book(NOW - 6 * DAY, {("wwan0", ""): 50})
    record.book(NOW, {("wwan0", "192.0.2.1"): 300, ("eth0", ""): 900})
    record.book(NOW + DAY, {("wwan0", "192.0.2.1"): 30, ("wwan0", "198.51.100.1"): 4})
    use = record.use("wwan0", BUDGETS["wwan0"].month(NOW), NOW + DAY)
    assert use.networks == {"192.0.2.1": 330, "198.51.100.1": 4}, "the month began on the 15th"
    assert taken(record, NOW + 26 * DAY) == (0, 0), "a new month"


def test_what_would_exceed_the_month_is_told_why(record: LinkRecord) -> None:
    record.book(NOW, {("wwan0", ""): 300})
    assert record.set_aside("a", {"wwan0": 500, "eth0": 10**9}, BUDGETS, NOW, NOW + HOUR) == 700
    with pytest.raises(BeyondBudget, match="up to 300 B; of the month's 1 kB for wwan0, 200 B are left"):
        record.set_aside("b", {"wwan0": 300}, BUDGETS, NOW, NOW + HOUR)
    with pytest.raises(BeyondBudget, match="nobody can say"):
        record.set_aside("b", {"wwan0": None}, BUDGETS, NOW, NOW + HOUR)
    assert record.set_aside("b", {"eth0": None}, BUDGETS, NOW, NOW + HOUR) is None, "no budget there"
    record.book(NOW, {("wwan0", ""): 400}, "a")
    assert taken(record) == (700, 100), "what is booked is not set aside any more"
    record.let_go("a", NOW)
    assert taken(record) == (700, 0)
    assert record.set_aside("b", {"wwan0": 300}, BUDGETS, NOW, NOW + HOUR) == 300


def test_whether_a_run_would_fit_is_asked_without_setting_anything_aside(record: LinkRecord) -> None:
    record.set_aside("a", {"wwan0": 600}, BUDGETS, NOW, NOW + HOUR)
    record.check({"wwan0": 400, "eth0": None}, BUDGETS, NOW)
    with pytest.raises(BeyondBudget, match="400"):
        record.check({"wwan0": 401}, BUDGETS, NOW)
    assert taken(record) == (0, 600)


def test_the_same_run_sets_aside_once(record: LinkRecord) -> None:
    for _ in range(3):
        record.set_aside("a", {"wwan0": 600}, BUDGETS, NOW, NOW + HOUR)
    assert taken(record) == (0, 600)


def test_of_a_run_that_died_all_that_was_set_aside_counts(record: LinkRecord) -> None:
    record.set_aside("a", {"wwan0": 600}, BUDGETS, NOW, NOW + HOUR)
    record.book(NOW, {("wwan0", ""): 200}, "a")
    assert taken(record, NOW + HOUR) == (200, 400)
    assert taken(record, NOW + HOUR + 1) == (600, 0)
    assert taken(record, NOW + 2 * HOUR) == (600, 0), "once"


def test_runs_at_once_never_get_more_than_there_is(tmp_path: Path) -> None:
    def ask(number: int) -> bool:
        with closing(LinkRecord(tmp_path)) as record:
            try:
                record.set_aside(f"run {number}", {"wwan0": 300}, BUDGETS, NOW, NOW + HOUR)
            except BeyondBudget:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(16))) == 3


def test_a_record_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    with pytest.raises(LinkRecordError, match="link-use.db"):
        LinkRecord(tmp_path)


def test_the_planner_counts_what_others_moved_and_each_planned_run_once(tmp_path: Path) -> None:
    assert uses(tmp_path, BUDGETS, NOW)["wwan0"].moved == 0
    assert not (tmp_path / FILE).exists(), "who asks makes no file"
    with closing(LinkRecord(tmp_path)) as record:
        record.book(NOW, {("wwan0", ""): 300})
        record.set_aside("begun", {"wwan0": 100}, BUDGETS, NOW, NOW + HOUR)
    state, job = State(), Job("s", Schedule(every=60.0), "wwan0", bytes=100)
    found = uses(tmp_path, BUDGETS, NOW)
    take_over(state, BUDGETS, found, NOW, {"begun": job, "waits": job})
    assert (state.link("wwan0").moved, state.link("wwan0").month) == (500, "2026-03-15")
    take_over(state, BUDGETS, found, NOW, {})
    assert state.link("wwan0").moved == 400


def test_the_budget_of_a_run_knows_its_bytes_by_link() -> None:
    budget = DataBudget(1000)
    budget.over("eth0").spend(received=100, sent=20)
    budget.over("wwan0").spend(sent=7)
    budget.over("eth0").spend(sent=3)
    assert budget.by_link == {"eth0": 123, "wwan0": 7}
    assert (budget.use.received_bytes, budget.use.sent_bytes) == (100, 30)
