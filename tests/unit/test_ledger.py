"""The agent's ledger: at most one start for each order, whatever is killed, repeated or damaged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ots.agent.ledger import KEPT, MOVES, STATES, Ledger, LedgerError
from ots.agent.order import CaseReference, Order
from ots.policy.issuer import Issuer


def order(order_id: str | None = None, *, not_before: float = 0.0, alive: float = 1e12) -> Order:
    return Order(
        order_id=order_id or str(uuid.uuid4()),
        origin="command",
        issuer=Issuer(kind="remote", user="li", role="operator"),
        case=CaseReference(name="ping"),
        not_before=not_before,
        not_after=not_before + alive,
        max_duration=60.0,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger.of(tmp_path)
    yield found
    found.close()


def test_an_order_is_new_once_and_starts_once(ledger: Ledger) -> None:
    made = order()
    assert ledger.record(made) == ("new", "recorded")
    assert ledger.record(made) == ("known", "recorded")
    assert ledger.start(made.order_id)
    assert not ledger.start(made.order_id)
    assert ledger.record(made) == ("known", "started")
    assert ledger.end(made.order_id, "finished", report_id="r", verdict="pass", answer={"a": [1]})
    assert not ledger.end(made.order_id, "interrupted")
    entry = ledger.get(made.order_id)
    assert entry is not None and entry.order == made
    assert (entry.state, entry.report_id, entry.verdict, entry.answer) == (
        "finished",
        "r",
        "pass",
        {"a": [1]},
    )


def test_a_stop_that_comes_before_its_run_holds(ledger: Ledger) -> None:
    made = order()
    assert ledger.tombstone(made.order_id)
    assert ledger.record(made) == ("known", "tombstoned")
    assert not ledger.start(made.order_id)


def test_a_stop_does_not_undo_what_runs(ledger: Ledger) -> None:
    made = order()
    ledger.record(made)
    ledger.start(made.order_id)
    assert not ledger.tombstone(made.order_id)
    entry = ledger.get(made.order_id)
    assert entry is not None and entry.state == "started"


def test_a_start_closes_what_was_cut_off_and_keeps_what_waits(tmp_path: Path) -> None:
    now = [1000.0]
    first = Ledger.of(tmp_path, lambda: now[0])
    cut, waiting, late = order(), order(not_before=1000, alive=500), order(not_before=1000, alive=5)
    for made in (cut, waiting, late):
        first.record(made)
    first.start(cut.order_id)
    first.close()
    now[0] = 1100.0
    again = Ledger.of(tmp_path, lambda: now[0])
    found = again.close_interrupted()
    assert [entry.order_id for entry in found.interrupted] == [cut.order_id]
    assert list(found.waiting) == [waiting]
    states = {made.order_id: again.get(made.order_id) for made in (cut, waiting, late)}
    assert [entry.state for entry in states.values() if entry] == ["interrupted", "recorded", "expired"]
    assert not again.start(cut.order_id) and not again.start(late.order_id)
    assert again.start(waiting.order_id)
    again.close()


def test_entries_outlast_every_repetition_that_could_count(tmp_path: Path) -> None:
    now = [0.0]
    ledger = Ledger.of(tmp_path, lambda: now[0])
    made = order(alive=100)
    ledger.record(made)
    ledger.start(made.order_id)
    ledger.end(made.order_id, "finished")
    now[0] = 100 + KEPT - 1
    assert ledger.prune() == 0
    now[0] = 100 + KEPT + 1
    assert ledger.prune() == 1 and ledger.get(made.order_id) is None
    ledger.close()


@pytest.mark.parametrize("damage", ["empty middle", "random", "cut", "text"])
def test_a_damaged_ledger_is_set_aside_and_refuses_what_it_can_not_know(tmp_path: Path, damage: str) -> None:
    now = [1000.0]
    ledger = Ledger.of(tmp_path, lambda: now[0])
    for _ in range(50):
        ledger.record(order())
    ledger.close()
    data = bytearray(ledger.path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 3]
    elif damage == "text":
        data = bytearray(b"this is no database at all" * 100)
    else:
        size = len(data) // 2
        data[200 : 200 + size] = bytes(size) if damage == "empty middle" else random.Random(1).randbytes(size)
    ledger.path.write_bytes(data)
    now[0] = 2000.0
    fresh = Ledger.of(tmp_path, lambda: now[0])
    old, new = order(not_before=1500), order(not_before=2000)
    assert fresh.record(old) == ("new", "refused")
    assert fresh.record(new) == ("new", "recorded")
    assert not fresh.start(old.order_id) and fresh.start(new.order_id)
    assert list(ledger.path.parent.glob("*.damaged-*"))
    fresh.close()


def test_where_nothing_can_be_written_nothing_is_taken_on(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    with pytest.raises(LedgerError):
        Ledger.of(place)


def test_of_many_threads_one_starts_it(ledger: Ledger) -> None:
    made = order()
    ledger.record(made)
    won: list[bool] = []
    threads = [threading.Thread(target=lambda: won.append(ledger.start(made.order_id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_what_the_server_has_not_confirmed_is_told_again(ledger: Ledger) -> None:
    made = order()
    ledger.record(made, seq=7)
    ledger.start(made.order_id)
    ledger.tell(made.order_id)
    assert [entry.state for entry in ledger.untold()] == ["started"], (
        "what still runs can't be told to the end"
    )
    ledger.end(made.order_id, "finished")
    assert [entry.state for entry in ledger.untold()] == ["finished"]
    ledger.tell(made.order_id)
    assert ledger.untold() == [] and ledger.last_seq() == 7


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["record", "start", "stop", "restart", *STATES]), max_size=12))
def test_only_permitted_moves_happen(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        book = Ledger.of(Path(folder))
        made = order()
        starts, before = 0, None
        for step in steps:
            if step == "record":
                book.record(made)
            elif step == "start":
                starts += book.start(made.order_id)
            elif step == "stop":
                book.tombstone(made.order_id)
            elif step == "restart":
                book.close_interrupted()
            else:
                book.end(made.order_id, step)  # type: ignore[arg-type]
            entry = book.get(made.order_id)
            after = None if entry is None else entry.state
            assert after == before or before is None or after in MOVES.get(before, frozenset())
            before = after
        book.close()
        assert starts <= 1


_CHILD = """
import sys
from pathlib import Path
from ots.agent.ledger import Ledger
from tests.unit.test_ledger import order
ledger = Ledger.of(Path(sys.argv[1]))
ledger.close_interrupted()
for name in sys.argv[2:]:
    ledger.record(order(name))
    print("taken", name, flush=True)
    if ledger.start(name):
        print("runs", name, flush=True)
        ledger.end(name, "finished")
print("end", flush=True)
"""


def test_killed_at_any_moment_each_order_starts_at_most_once(tmp_path: Path) -> None:
    names = [str(uuid.UUID(int=number)) for number in range(40)]
    lines: list[str] = []
    chance = random.Random(7)
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), *names],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ},
        )
        assert process.stdout is not None
        lines.append(process.stdout.readline())
        if attempt < 5:
            time.sleep(chance.uniform(0, 0.04))
            process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
    ran = [line.split()[1] for line in lines if line.startswith("runs")]
    assert len(ran) == len(set(ran))
    assert lines[-1] == "end\n"
    ledger = Ledger.of(tmp_path)
    states = [entry.state for entry in map(ledger.get, names) if entry is not None]
    ledger.close()
    assert len(states) == len(names) and set(states) <= {"finished", "interrupted"}
