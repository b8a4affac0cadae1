"""The store: numbers, index, references, artifacts, caps, versions."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ots.model.report import Report
from ots.store import Shelf, Store, StoreError, database
from ots.store.database import VERSION
from ots.store.entry import Reference, parse_reference
from ots.store.outbox import Outbox
from tests.store_kit import AGENT, finish, make_report, make_step


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


def days(*numbers: int) -> list[str]:
    return [f"2026-03-{number:02d}T08:00:00.000000Z" for number in numbers]


def test_finished_document_is_kept_byte_for_byte(store: Store) -> None:
    """What finish returns, what is stored and what the hash in the index says are the same bytes."""
    report = make_report()
    document = finish(store, report, make_step(0), make_step(1, "warn"), verdict="warn")
    entry = store.get("last")
    assert store.document(entry) == document
    assert entry.sha256 == hashlib.sha256(document).hexdigest()
    assert msgspec.json.decode(document, type=Report) == report == store.report(entry)


def test_index_follows_the_document(store: Store) -> None:
    """Every column of the list is the document's own value."""
    report = make_report(case_id="branch", job="J-1")
    document = finish(store, report, make_step(0), make_step(1), make_step(0), verdict="fail")
    entry = store.get("last")
    assert (entry.report_id, entry.run_id) == (report.report_id, report.run.run_id)
    assert (entry.seq, entry.revision, entry.agent_id) == (1, 1, AGENT)
    assert (entry.state, entry.reason, entry.verdict) == ("completed", None, "fail")
    assert (entry.start, entry.duration) == (report.run.start, 12.5)
    assert (entry.case_id, entry.job, entry.targets) == ("branch", "J-1", "192.0.2.0 192.0.2.1")
    assert (entry.bytes, entry.upload) == (len(document), "none")
    assert 0 < entry.stored_bytes < len(document)


def test_many_targets_are_cut(store: Store) -> None:
    """The list's line of targets stays short however many there are."""
    finish(store, make_report(), *(make_step(number) for number in range(100)))
    targets = store.get("last").targets
    assert len(targets) == 120
    assert targets.endswith("…")


def test_numbers_count_for_each_agent_and_survive_deletion(store: Store) -> None:
    """A deleted report's number is never given again, and another agent's numbers are its own."""
    for _ in range(3):
        finish(store, make_report())
    store.delete(store.get("3"))
    finish(store, make_report())
    finish(store, make_report(agent_id="another"))
    assert sorted((entry.agent_id, entry.seq) for entry in store.list()) == sorted(
        [(AGENT, 1), (AGENT, 2), (AGENT, 4), ("another", 1)]
    )
    assert store.next_seq(AGENT) == 5
    assert store.next_seq("nobody") == 1


def test_running_report_can_be_read(store: Store) -> None:
    """While a run goes on, the list says so and its finished steps can be read."""
    report = make_report()
    with store.begin(report) as writer:
        writer.step(1, make_step(1))
        writer.step(0, make_step(0))
        writer.step(0, make_step(0, "fail"))
        report.job.notes = ["rain"]
        writer.head(report)
        entry = store.get("last")
        assert entry.running
        assert (entry.verdict, entry.sha256) == (None, None)
        read = store.report(entry)
        assert [(step.key, step.verdict) for step in read.steps] == [("step-0", "fail"), ("step-1", "pass")]
        assert read.run.state == "running"
        assert read.job.notes == ["rain"]
        assert json.loads(store.document(entry))["seq"] == 1
        with pytest.raises(StoreError, match="still goes on"):
            store.delete(entry)


def test_live_run_is_left_alone(store: Store) -> None:
    """Recovery doesn't touch a run whose lock is held, in this process or elsewhere."""
    with store.begin(make_report()) as writer:
        assert store.recover() == []
        with Store.open(store.folder) as other:
            assert other.get("last").running
        writer.step(0, make_step(0))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [((), "error"), (("pass", "measured"), "error"), (("warn",), "error"), (("pass", "fail"), "fail")],
)
def test_abandoned_run_is_closed_as_killed(store: Store, verdicts: tuple[str, ...], expected: str) -> None:
    """A breach that was proven stays proven; without one, a killed run could not be judged."""
    report = make_report()
    with store.begin(report) as writer:
        for position, verdict in enumerate(verdicts):
            writer.step(position, make_step(position, verdict))  # type: ignore[arg-type]
    writer.workdir.mkdir()
    (writer.workdir / "left").write_text("a killed process sweeps nothing")
    assert store.recover() == [report.report_id]
    entry = store.get("last")
    assert (entry.state, entry.reason, entry.verdict) == ("aborted", "killed", expected)
    assert entry.duration is None
    closed = store.report(entry)
    assert [step.verdict for step in closed.steps] == list(verdicts)
    assert (closed.run.state, closed.run.reason, closed.run.end) == ("aborted", "killed", None)
    assert store.recover() == []
    assert list(store.locks.iterdir()) == []


def test_one_run_has_one_writer(store: Store) -> None:
    """The same run can't be begun twice."""
    report = make_report()
    with store.begin(report), pytest.raises(ValueError, match="written already"):
        store.begin(report)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("last", Reference(back=1)),
        ("LAST", Reference(back=1)),
        ("-1", Reference(back=1)),
        ("-12", Reference(back=12)),
        ("412", Reference(seq=412)),
        ("#412", Reference(seq=412)),
        ("0192", Reference(prefix="0192")),
        ("0192ABCD-12", Reference(prefix="0192abcd-12")),
        ("abcd", Reference(prefix="abcd")),
    ],
)
def test_reference_is_understood(text: str, expected: Reference) -> None:
    """Every way in which a person names a report."""
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "-0", "abc", "office", "4 12", "01", "*", "0192*", "٣", "1.5", "--1"]
)
def test_no_reference(text: str) -> None:
    """Anything else is refused in words, and can't become part of a query."""
    with pytest.raises(ValueError, match="names no report"):
        parse_reference(text)


def test_get_by_every_kind_of_reference(store: Store) -> None:
    """Newest, second newest, number and start of an id lead to the right report."""
    reports = [make_report(start) for start in days(1, 2, 3)]
    for report in reports:
        finish(store, report)
    assert store.get("last").report_id == reports[2].report_id
    assert store.get("-2").report_id == reports[1].report_id
    assert store.get("1").report_id == reports[0].report_id
    assert store.get(reports[1].report_id).seq == 2
    assert store.get(reports[1].report_id[:12]).seq == 2


def test_get_says_what_is_wrong(store: Store) -> None:
    """No report and several reports are both told, with a remedy."""
    with pytest.raises(StoreError, match="no report last") as none:
        store.get("last")
    assert "ots report list" in none.value.remedy
    finish(store, make_report(agent_id="one"))
    finish(store, make_report(agent_id="two"))
    with pytest.raises(StoreError, match="can mean 2 reports"):
        store.get("1")


def test_list_filters_and_orders(store: Store) -> None:
    """The newest come first; since, verdict, job and limit narrow the list."""
    for start, verdict, job in zip(days(2, 1, 3), ("pass", "fail", "fail"), ("a", "a", "b"), strict=True):
        finish(store, make_report(start, job=job), verdict=verdict)  # type: ignore[arg-type]
    assert [entry.start for entry in store.list()] == days(3, 2, 1)
    assert [entry.start for entry in store.list(verdict="fail")] == days(3, 1)
    assert [entry.start for entry in store.list(job="a")] == days(2, 1)
    assert [entry.start for entry in store.list(since="2026-03-02")] == days(3, 2)
    assert [entry.start for entry in store.list(since="2026-03-02", verdict="fail", limit=5)] == days(3)
    assert [entry.start for entry in store.list(limit=1)] == days(3)


def test_artifact_is_kept_once_and_removed_with_its_last_report(store: Store) -> None:
    """Equal files share one place; it goes when no report refers to it any more."""
    digests = []
    for _ in range(2):
        with store.begin(report := make_report()) as writer:
            digests.append(writer.artifact("page.har", b"content"))
            report.run.state = "completed"
            writer.finish(report)
    assert digests[0] == digests[1] == hashlib.sha256(b"content").hexdigest()
    assert store.artifact(digests[0]) == b"content"
    assert store.get("1").stored_bytes >= len(b"content")
    files = [path for path in (store.folder / "artifacts").rglob("*") if path.is_file()]
    assert len(files) == 1
    store.delete(store.get("1"))
    assert files[0].exists()
    store.delete(store.get("2"))
    assert not files[0].exists()


def test_prune_by_size_takes_the_oldest_and_waiting_ones_last(store: Store) -> None:
    """What waits to be sent outlives newer reports that nobody waits for."""
    for start in days(1, 2, 3):
        finish(store, make_report(start), make_step(0, log=4000))
    Outbox(store).add([store.get("1")])
    size = store.get("1").stored_bytes
    assert store.prune(max_bytes=2.5 * size, max_age=None, now=0.0) == 1
    assert [entry.seq for entry in store.list()] == [3, 1]
    assert store.prune(max_bytes=1.5 * size, max_age=None, now=0.0) == 1
    assert [entry.seq for entry in store.list()] == [1]
    assert store.prune(max_bytes=0.5 * size, max_age=None, now=0.0) == 1
    assert store.list() == []


def test_prune_by_age_spares_waiting_and_running_ones(store: Store) -> None:
    """Age deletes what is old and finished and wanted by nobody."""
    for start in days(1, 2, 20):
        finish(store, make_report(start))
    Outbox(store).add([store.get("2")])
    with store.begin(make_report(days(1)[0])):
        noon_of_march_21st = 1774094400.0
        assert store.prune(max_bytes=None, max_age=10 * 86400.0, now=noon_of_march_21st) == 1
        assert sorted(entry.seq for entry in store.list()) == [2, 3, 4]


@pytest.mark.parametrize("damaged", [False, True])
def test_store_of_the_first_format(store: Store, tmp_path: Path, damaged: bool) -> None:
    """Its reports are there afterwards, what waited waits; also where it has to be replaced on the way."""
    documents = [finish(store, make_report(), make_step(0)) for _ in range(2)]
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(sqlite3.connect(folder / database.FILE)) as old:
        for statement in database.MIGRATIONS[0]:
            old.execute(statement)
        old.execute("ATTACH ? AS new", (str(store.folder / database.FILE),))
        for table in ("report", "document", "counter"):
            names = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})").fetchall())
            old.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}")
        old.execute("UPDATE main.report SET upload = 'pending' WHERE seq = 2")
        old.execute("PRAGMA main.user_version = 1")
        old.commit()
    if damaged:
        database.condemn(folder / database.FILE)
    with Store.open(folder) as opened:
        first, second = opened.get("1"), opened.get("2")
        assert [opened.document(first), opened.document(second)] == documents
        if not damaged:
            assert (first.upload, second.upload) == ("none", "waiting")
            assert list(Outbox(opened).due(AGENT, 0.0)) == [second.id]


def test_prune_without_caps_deletes_nothing(store: Store) -> None:
    """No cap, no deletion."""
    finish(store, make_report())
    assert store.prune(max_bytes=None, max_age=None, now=2e9) == 0


def test_deleted_space_goes_back_to_the_disk(store: Store) -> None:
    """After deletion and compaction the file is smaller."""
    for _ in range(20):
        finish(store, make_report(), make_step(0, log=20_000))
    store.compact()
    before = (store.folder / "store.sqlite3").stat().st_size
    for entry in store.list():
        store.delete(entry)
    store.compact()
    assert (store.folder / "store.sqlite3").stat().st_size < before / 2


def test_files_are_private(store: Store) -> None:
    """Nobody else reads reports: folders 0700, files 0600, SQLite's side files too."""
    with store.begin(make_report()) as writer:
        writer.artifact("a", b"b")
        for path in (store.folder, *store.folder.rglob("*")):
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_newer_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    """A store of a later OTS is left alone, and both formats are named."""
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "store.sqlite3") as database:
        database.execute(f"PRAGMA user_version={VERSION + 7}")
    database.close()
    with pytest.raises(StoreError, match=rf"format {VERSION + 7}.* up to {VERSION}\.") as refused:
        Store.open(tmp_path)
    assert "pgrade" in refused.value.remedy


def test_older_format_is_brought_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of an earlier format gets the missing migrations, each once, and keeps its reports."""
    with Store.open(tmp_path) as store:
        finish(store, make_report())
    monkeypatch.setattr(
        database, "MIGRATIONS", (*database.MIGRATIONS, ("ALTER TABLE report ADD COLUMN extra TEXT",))
    )
    monkeypatch.setattr(database, "VERSION", VERSION + 1)
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.select("SELECT seq, extra FROM report") == [(1, None)]


def test_changed_document_is_noticed(store: Store) -> None:
    """A document whose bytes no longer match their hash is not shown as if it were whole."""
    finish(store, make_report())
    with store.writing() as database:
        database.execute("UPDATE document SET body = ?", (b"something else",))
    with pytest.raises(StoreError, match="hash differs"):
        store.document(store.get("last"))


def test_shelf_joins_the_systems_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user sees the service's reports among their own, the newest first, and can read both."""
    from ots.store import shelf

    own, system = tmp_path / "own", tmp_path / "system"
    for folder, starts in ((own, days(1, 3)), (system, days(2))):
        with Store.open(folder) as store:
            for start in starts:
                finish(store, make_report(start, agent_id=folder.name))
    monkeypatch.delenv("OTS_DATA_DIR", raising=False)
    monkeypatch.setattr(shelf, "data_dir", lambda: own)
    monkeypatch.setattr(shelf, "default_data_dir", lambda: own)
    monkeypatch.setattr(shelf, "user_data_dir", lambda: own)
    monkeypatch.setattr(shelf, "SYSTEM_DATA", system)
    with Shelf.open() as both:
        assert [(entry.start, entry.folder) for entry in both.list()] == list(
            zip(days(3, 2, 1), (own, system, own), strict=True)
        )
        second = both.get("-2")
        assert second.agent_id == "system"
        assert not both.store_of(second).writable
        assert both.store_of(second).report(second).seq == 1
        with pytest.raises(StoreError, match="can mean 2 reports"):
            both.get("1")


def test_shelf_of_a_chosen_folder_is_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTS_DATA_DIR means this folder and no other."""
    monkeypatch.setenv("OTS_DATA_DIR", str(tmp_path / "chosen"))
    with Shelf.open() as shelf:
        assert shelf.list() == []
    assert (tmp_path / "chosen" / "store.sqlite3").exists()


def test_unfinished_report_cannot_be_finished(store: Store) -> None:
    """A document that says `running` would look like a live run for ever; it is refused."""
    report = make_report()
    with store.begin(report) as writer, pytest.raises(ValueError, match="has not finished"):
        writer.finish(report)


@pytest.mark.parametrize(
    "damage", ["UPDATE head SET body = x'00'", "DELETE FROM head", "UPDATE step SET body = x'1234'"]
)
def test_killed_run_that_cannot_be_read_blocks_nobody(store: Store, damage: str) -> None:
    """One unreadable run is closed without a document; every other report stays within reach."""
    finish(store, make_report())
    with store.begin(make_report("2026-03-09T08:00:00.000000Z")) as writer:
        writer.step(0, make_step(0))
    with store.writing() as database:
        database.execute(damage)
    with Store.open(store.folder) as again:
        entry = again.get("last")
        assert (entry.state, entry.reason, entry.verdict) == ("aborted", "killed", "error")
        with pytest.raises(StoreError, match="not in the store"):
            again.report(entry)
        assert again.report(again.get("1")).seq == 1
        assert again.recover() == []


def test_report_of_a_newer_version_is_refused(store: Store) -> None:
    """A document of a later major version is told with both numbers, and can still be exported as it is."""
    report = make_report()
    report.schema.version = "9.0.0"
    document = finish(store, report)
    entry = store.get("last")
    with pytest.raises(StoreError, match=r"9.*1"):
        store.report(entry)
    assert store.document(entry) == document
