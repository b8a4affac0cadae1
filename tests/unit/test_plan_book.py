"""The agent's plans are made anew exactly when something that they rest upon has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ots.agent import plans
from ots.agent.order import Order
from ots.agent.plan_book import KEPT_FOR, PlanBook
from ots.agent.plans import Planned
from ots.config import settings
from ots.engine.planner import Plan

CASE = """ots: 1
id: home
steps:
  - id: rtt
    probe: ping
    target: TARGET
    params: {count: 2}
"""


class Desk:
    """A machine of its own: its settings folder, and how many plans were made on it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config" / "ots"
        (self.config / "schedules").mkdir(parents=True)
        (self.config / "cases").mkdir()
        self.data = folder / "data"
        self.made = 0
        self.now = 0.0
        self.case = folder / "home.yaml"
        self.case.write_text(CASE.replace("TARGET", "127.0.0.1"))
        self.plan("home", f"case: {self.case}\nschedule: {{every: 15 min}}\n")
        self.book = PlanBook(settings(), lambda: self.now)

    def plan(self, name: str, text: str) -> None:
        (self.config / "schedules" / f"{name}.yaml").write_text(text)

    def look(self, link: str = "eth0") -> dict[str, Planned]:
        return {each.job.schedule_id: each for each in self.book.look_up(link)}

    def settled(self) -> dict[str, Planned]:
        """Looks until nothing is made anew."""
        self.look()
        self.look()
        self.made = 0
        return self.look()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in [name for name in os.environ if name.startswith("OTS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("OTS_DATA_DIR", str(tmp_path / "data"))
    settings.cache_clear()
    made = Desk(tmp_path)
    understand: Callable[[Order], Plan] = vars(plans)["understand"]

    def counted(order: Order) -> Plan:
        made.made += 1
        return understand(order)

    monkeypatch.setattr(plans, "understand", counted)
    yield made
    settings.cache_clear()


def test_nothing_is_made_anew_while_nothing_changes(desk: Desk) -> None:
    before = desk.settled()
    (desk.data / "reports").mkdir(parents=True)
    (desk.data / "store.db").write_text("what runs write down changes no plan")
    for _ in range(100):
        desk.now += 0.9 * KEPT_FOR / 100
        assert desk.look() == before
    assert (desk.made, before["home"].job.refusal) == (0, None)
    desk.now += KEPT_FOR
    assert desk.look() == before and desk.made == 1, "licences and content age"


def _another_time(desk: Desk) -> None:
    desk.plan("home", f"case: {desk.case}\nschedule: {{every: 20 min}}\n")


def _another_case(desk: Desk) -> None:
    desk.case.write_text(CASE.replace("TARGET", "127.0.0.22"))


def _a_second(desk: Desk) -> None:
    desk.plan("more", "case: nowhere\nschedule: {every: 1 h}\n")


def _gone(desk: Desk) -> None:
    (desk.config / "schedules" / "home.yaml").unlink()


def _case_gone(desk: Desk) -> None:
    desk.case.unlink()


def _own_case(desk: Desk) -> None:
    (desk.config / "cases" / "mine.yaml").write_text(CASE)


def _targets(desk: Desk) -> None:
    (desk.config / "targets.yaml").write_text("north: [192.0.2.1]\n")


def _enrolled(desk: Desk) -> None:
    desk.data.mkdir(exist_ok=True)
    (desk.data / "server.json").write_text("{}")


def _licensed(desk: Desk) -> None:
    (desk.data / "licences").mkdir(parents=True)
    (desk.data / "licences" / "one.jws").write_text("none")


def _synced(desk: Desk) -> None:
    (desk.data / "content").mkdir(parents=True)
    (desk.data / "content" / "current.json").write_text("{}")


@pytest.mark.parametrize(
    "change",
    [
        _another_time, _another_case, _a_second, _gone, _case_gone, _own_case, _targets, _enrolled, _licensed,
        _synced,
    ],
)  # fmt: skip
def test_every_change_is_seen_at_the_next_look(desk: Desk, change: Callable[[Desk], None]) -> None:
    desk.settled()
    change(desk)
    seen = desk.look()
    assert seen == {each.job.schedule_id: each for each in plans.all_plans(settings(), "eth0")}
    assert desk.made > 0 or not seen
    desk.look()
    desk.made = 0
    assert desk.look() == seen and desk.made == 0


def test_a_case_that_was_missing_is_found_when_it_is_there(desk: Desk) -> None:
    desk.plan("mine", "case: mine\nschedule: {every: 1 h}\n")
    assert desk.settled()["mine"].job.refusal is not None
    (desk.config / "cases" / "mine.yaml").write_text(CASE.replace("TARGET", "127.0.0.1"))
    assert desk.look()["mine"].job.refusal is None


def test_another_way_out_and_a_word_to_look_again_make_all_anew(desk: Desk) -> None:
    assert desk.settled()["home"].job.link == "lo", "where its target is"
    for link in ("wwan0", "eth0"):
        desk.made = 0
        desk.look(link)
        assert desk.made == 1, "names are reached another way now"
    desk.book.forget()
    desk.look("eth0")
    assert desk.made == 2
