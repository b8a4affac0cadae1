"""Every run counts against the link that it went over, whoever wanted it, and none unattended exceeds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ots.agent.order import CaseReference, Order, Origin
from ots.policy.issuer import REMOTE, SCHEDULE
from ots.schedule.state import Budget
from ots.session.link_record import LinkRecord
from ots.store import Store
from tests.command_line import CommandLine

pytestmark = pytest.mark.netns

CASE = """ots: 1
id: home
steps:
  - id: there
    probe: ping
    target: 198.51.100.2
    params: {count: 5, interval: 100 ms, timeout: 100 ms}
"""
HERE = """  - id: here
    probe: ping
    target: 127.0.0.1
    params: {count: 3, interval: 20 ms}
"""
PACKET = 84
MOST = 10 * PACKET
"""Bytes that the case may move; since nobody answers, it moves half."""

BUDGET = 2000


class Machine(CommandLine):
    """A machine of its own with a link `there`, at whose other end nobody answers."""

    @property
    def within(self) -> list[str]:
        return ["ip", "netns", "exec", f"ots-validity-{self.folder.name[-8:]}"]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def ots(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a person runs there."""
        return self.execute(["-m", "ots", *words])

    def execute(self, words: list[str], said: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.within, sys.executable, *words],
            input=said,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def order(self, origin: Origin) -> dict[str, Any]:
        """How an order ends that a schedule or a server gives: as the agent's own process says it."""
        now = time.time()
        order = Order(
            order_id=str(uuid.uuid4()),
            origin=origin,
            issuer=SCHEDULE if origin == "schedule" else REMOTE,
            case=CaseReference(name="home"),
            not_before=now,
            not_after=now + 60,
            max_duration=30.0,
        )
        parent = ["-m", "ots.agent.work", str(os.getpid())]
        done = self.execute(parent, msgspec.json.encode(order).decode())
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def moved(self) -> dict[str, int]:
        """This month, by link."""
        record, now = LinkRecord(self.data), time.time()
        try:
            month = Budget(BUDGET).month(now)
            found = {link: record.use(link, month, now) for link in ("lo", "there")}
        finally:
            record.close()
        assert all(not use.aside for use in found.values()), "nothing runs"
        return {link: use.moved for link, use in found.items()}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    config = tmp_path / "config" / "ots"
    (config / "cases").mkdir(parents=True)
    (config / "cases" / "home.yaml").write_text(CASE)
    (config / "settings.yaml").write_text(f"budget: {{there: {BUDGET} B from 1}}\n")
    (config / "policy.yaml").write_text("ots_policy: 1\nremote: {trusted: [198.51.100.0/24]}\n")
    space = found.within[-1]
    neighbour = ["198.51.100.2", "lladdr", "02:00:00:00:00:01", "dev", "there"]
    try:
        for words in (
            ["ip", "netns", "add", space],
            [*found.within, "ip", "link", "set", "lo", "up"],
            [*found.within, "ip", "link", "add", "there", "type", "veth", "peer", "name", "far"],
            [*found.within, "ip", "address", "add", "198.51.100.1/24", "dev", "there"],
            [*found.within, "ip", "link", "set", "there", "up"],
            [*found.within, "ip", "link", "set", "far", "up"],
            [*found.within, "ip", "neighbour", "add", *neighbour],
        ):
            subprocess.run(words, check=True, capture_output=True)
        yield found
    finally:
        subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)


def test_planned_commanded_and_local_runs_count_and_what_exceeds_is_refused(machine: Machine) -> None:
    for number, origin in enumerate[Origin](("schedule", "command")):
        ended = machine.order(origin)
        assert (ended["state"], ended["bytes"]) == ("finished", MOST // 2), ended
        with Store.open_read_only(machine.data) as store:
            newest = store.report(store.list()[0])
        assert newest.run.data.limit_bytes == BUDGET - number * MOST // 2, "no more than is left of the month"
    machine.ots("run", "home")
    assert machine.moved() == {"lo": 0, "there": 3 * MOST // 2}
    for origin in ("command", "schedule"):
        ended = machine.order(origin)
        assert ended["state"] == "refused" and "report_id" not in ended
        assert ended["reason"] == "moves up to 840 B; of the month's 2 kB for there, 740 B are left"
    machine.ots("run", "home")
    assert machine.moved()["there"] == 2 * MOST, "a person decides"
    schedules = machine.folder / "config" / "ots" / "schedules"
    schedules.mkdir()
    (schedules / "often.yaml").write_text("case: home\nschedule: {every: 1 h}\n")
    shown = json.loads(machine.ots("agent", "status", "--json").stdout)["resident"]
    budget = shown["budgets"]["there"]
    assert (budget["moved_bytes"], budget["limit_bytes"], budget["aside_bytes"]) == (1680, 2000, 0)
    assert {each["code"] for each in shown["next"]} == {"budget"}, "what is planned knows of it"


def test_bytes_count_for_the_link_that_they_went_over(machine: Machine) -> None:
    both = machine.folder / "both.yaml"
    both.write_text(CASE + HERE)
    report = json.loads(machine.ots("run", str(both), "--json").stdout)
    assert machine.moved() == {"lo": 6 * PACKET, "there": 5 * PACKET}, report
    use = report["run"]["data"]
    assert use["received_bytes"] + use["sent_bytes"] == 11 * PACKET


def test_where_nothing_can_be_recorded_only_what_is_held_to_a_budget_is_refused(machine: Machine) -> None:
    machine.data.mkdir()
    (machine.data / "link-use.db").mkdir()
    ended = machine.order("schedule")
    assert ended["state"] == "refused" and "can't be recorded" in ended["reason"]
    done = machine.ots("ping", "127.0.0.1", "--count", "2", "--interval", "20 ms")
    assert done.returncode == 0 and "could not be booked" in done.stderr
