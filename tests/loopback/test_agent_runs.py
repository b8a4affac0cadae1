"""Orders run in processes of their own: really, at most once, and with an end whatever happens to them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ots.agent.child import Child
from ots.agent.ledger import Ledger
from ots.agent.order import CaseReference, Order
from ots.agent.runs import MOST_WAITING, Ended, Event, Progress, Runs, Started
from ots.policy.issuer import SCHEDULE
from ots.session import hold
from ots.store import Store
from tests.waiting import until

PING = """ots: 1
id: home
steps:
  - id: rtt
    probe: ping
    target: 127.0.0.1
    params: {count: COUNT, interval: '100 ms'}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OTS_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    found = Ledger.of(place)
    yield found
    found.close()


def order(place: Path, count: int = 2, **more: object) -> Order:
    case = place.parent / f"ping-{count}.yaml"
    case.write_text(PING.replace("COUNT", str(count)))
    now = time.time()
    facts: dict[str, object] = {
        "order_id": str(uuid.uuid4()),
        "origin": "schedule",
        "issuer": SCHEDULE,
        "case": CaseReference(name=str(case)),
        "planned_at": now,
        "not_before": now,
        "not_after": now + 60,
        "max_duration": 60.0,
        **more,
    }
    return Order(**facts)  # type: ignore[arg-type]


class Heard(list[Event]):
    """What a listener heard."""

    async def end_of(self, wanted: Order) -> Ended:
        await until(
            lambda: any(isinstance(each, Ended) and each.order_id == wanted.order_id for each in self)
        )
        return next(each for each in self if isinstance(each, Ended) and each.order_id == wanted.order_id)

    async def beginning_of(self, wanted: Order) -> None:
        await until(
            lambda: any(isinstance(each, Progress) and each.order_id == wanted.order_id for each in self)
        )


async def submit(runs: Runs, ledger: Ledger, wanted: Order, link: str | None = None) -> str:
    ledger.record(wanted)
    return (await runs.submit(wanted, link=link)).state


async def test_an_order_becomes_a_report_and_a_line_in_the_ledger(place: Path, ledger: Ledger) -> None:
    runs, heard, wanted = (
        Runs(place, ledger),
        Heard(),
        order(place, thresholds={"rtt": [{"metric": "ping_rtt_seconds", "fail": "< 0.001 ms"}]}),
    )
    runs.listen(heard.append)
    assert await submit(runs, ledger, wanted) == "queued"
    ended = await heard.end_of(wanted)
    await runs.close(5)
    assert isinstance(heard[0], Started)
    assert (ended.state, ended.verdict) == ("finished", "fail")
    assert ended.moved > 0
    entry = ledger.get(wanted.order_id)
    assert entry is not None
    assert (entry.state, entry.report_id) == ("finished", ended.report_id)
    with Store.open(place) as store:
        report = store.report(store.get(str(ended.report_id)))
    assert report.tags["ots.order"] == wanted.order_id
    assert [each.fail for each in report.steps[0].thresholds] == ["< 0.001 ms"]


async def test_a_run_that_is_stopped_leaves_a_partial_report(place: Path, ledger: Ledger) -> None:
    runs, heard, wanted = Runs(place, ledger), Heard(), order(place, 500)
    runs.listen(heard.append)
    await submit(runs, ledger, wanted)
    await heard.beginning_of(wanted)
    assert await runs.stop(wanted.order_id, "stopped by anna")
    ended = await heard.end_of(wanted)
    await runs.close(5)
    assert (ended.state, ended.reason) == ("finished", "stopped by anna")
    with Store.open(place) as store:
        report = store.report(store.get(str(ended.report_id)))
    assert (report.run.state, report.run.reason) == ("aborted", "interrupted")


async def test_a_killed_process_is_an_interrupted_run(place: Path, ledger: Ledger) -> None:
    runs, heard, wanted = Runs(place, ledger), Heard(), order(place, 500)
    runs.listen(heard.append)
    await submit(runs, ledger, wanted)
    await heard.beginning_of(wanted)
    pid = runs.running[0].child.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended = await heard.end_of(wanted)
    await runs.close(5)
    assert ended.state == "interrupted"
    assert "SIGKILL" in str(ended.reason)
    assert not ledger.start(wanted.order_id)


async def test_a_process_that_does_not_end_is_killed(place: Path) -> None:
    child = Child(order(place, 500), grace=0.5)
    begun = asyncio.Event()
    running = asyncio.create_task(child.run(60.0, lambda *_said: begun.set()))
    await asyncio.wait_for(begun.wait(), 20)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    child.interrupt()
    ended = await running
    assert ended.state == "interrupted"
    assert "did not end in 0.5 s" in str(ended.reason)


async def test_a_run_ends_at_its_longest_duration(place: Path, ledger: Ledger) -> None:
    runs, heard, wanted = Runs(place, ledger), Heard(), order(place, 500, max_duration=1.5)
    runs.listen(heard.append)
    await submit(runs, ledger, wanted)
    ended = await heard.end_of(wanted)
    await runs.close(5)
    assert ended.reason == "it took longer than 1.5 s"


async def test_two_that_want_one_link_follow_each_other(place: Path, ledger: Ledger) -> None:
    runs, heard = Runs(place, ledger), Heard()
    runs.listen(heard.append)
    pair = [order(place, 5), order(place, 5)]
    for each in pair:
        await submit(runs, ledger, each, link="lo")
    for each in pair:
        await heard.end_of(each)
    await runs.close(5)
    edges = [type(each) for each in heard if not isinstance(each, Progress)]
    assert edges == [Started, Ended, Started, Ended]


WORK = """#!/bin/sh
echo '{"event": "admitted", "delay": DELAY}'
sleep LASTS & wait $!
echo '{"event": "ended", "state": "finished"}'
"""


@pytest.mark.parametrize(("delay", "lasts", "state"), [(2.0, 1.0, "finished"), (0.0, 30.0, "interrupted")])
async def test_the_longest_duration_counts_from_when_it_may_begin(
    place: Path, monkeypatch: pytest.MonkeyPatch, delay: float, lasts: float, state: str
) -> None:
    """Before it asks strangers a run waits for a while, which is none of its time."""
    work = place / "work"
    work.write_text(WORK.replace("DELAY", str(delay)).replace("LASTS", str(lasts)))
    work.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(work))
    found = await Child(order(place), grace=5.0).run(0.5, lambda step, fraction, text: None)
    assert found.state == state
    assert (found.reason or "").startswith("it took longer than 0.5 s") == (state == "interrupted")


async def test_an_order_without_a_link_is_asked_what_it_wants(place: Path, ledger: Ledger) -> None:
    runs, heard = Runs(place, ledger, wants_link=lambda order: "lo"), Heard()
    runs.listen(heard.append)
    scheduled, commanded = order(place, 5), order(place, 5, origin="command")
    await submit(runs, ledger, scheduled, link="lo")
    await submit(runs, ledger, commanded)
    for each in (scheduled, commanded):
        await heard.end_of(each)
    await runs.close(5)
    edges = [type(each) for each in heard if not isinstance(each, Progress)]
    assert edges == [Started, Ended, Started, Ended]


async def test_what_can_not_run_says_why(place: Path, ledger: Ledger) -> None:
    runs, heard = Runs(place, ledger), Heard()
    runs.listen(heard.append)
    nameless = order(place, case=CaseReference(name="no-such-case"))
    stepless = order(place, thresholds={"other": []})
    late = order(place, not_after=time.time() - 1)
    for each in (nameless, stepless, late):
        await submit(runs, ledger, each)
    assert "no-such-case" in str((await heard.end_of(nameless)).reason)
    assert "no step 'other'" in str((await heard.end_of(stepless)).reason)
    assert (await heard.end_of(late)).state == "expired"
    await runs.close(5)


async def test_the_queue_is_bounded_and_a_hold_lets_nothing_in(place: Path, ledger: Ledger) -> None:
    runs = Runs(place, ledger)
    later = [order(place, not_before=time.time() + 30) for _ in range(MOST_WAITING + 1)]
    states = [await submit(runs, ledger, each) for each in later]
    assert states == ["queued"] * MOST_WAITING + ["refused"]
    hold.place(place, "local", "maintenance", time.time())
    admitted = await runs.submit(later[0])
    await runs.hold()
    await runs.close(5)
    assert (admitted.state, "maintenance" in str(admitted.reason)) == ("refused", True)
    assert runs.waiting == []


async def test_closing_ends_what_runs_and_leaves_what_waits_in_the_ledger(
    place: Path, ledger: Ledger
) -> None:
    runs, heard = Runs(place, ledger), Heard()
    runs.listen(heard.append)
    first, second = order(place, 500), order(place, 500)
    for each in (first, second):
        await submit(runs, ledger, each, link="lo")
    await heard.beginning_of(first)
    pid = runs.running[0].child.pid
    await runs.close(10)
    assert (await heard.end_of(first)).state == "finished"
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    left = ledger.close_interrupted()
    assert [each.order_id for each in left.waiting] == [second.order_id]
