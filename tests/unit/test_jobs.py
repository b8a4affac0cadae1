"""Jobs: the file that keeps them, and what a report takes from them."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from ots.config.layers import Stated
from ots.config.values import Settings, load
from ots.session.job import add_late_notes, job_of_run
from ots.store import StoreError
from ots.store.jobs import Jobs, changing, path_of, read_jobs

_NOON = "2026-03-01T12:00:00Z"
_EVENING = "2026-03-01T18:00:00Z"


def _settings(folder: Path, **stated: str) -> Settings:
    """Settings of a data folder; `file_site` is stated in a file, `environment_site` in the environment."""
    values = {"data_dir": Stated(str(folder), "environment OTS_DATA_DIR")}
    for name, value in stated.items():
        origin, _, field = name.partition("_")
        place = "environment OTS_JOB" if origin == "environment" else "/etc/ots/settings.yaml:1:1"
        values[f"job.{field}"] = Stated(value, place)
    return load(values)


def test_a_job_from_start_to_finish(tmp_path: Path) -> None:
    """What was said and noted is there for the next process; the file is its owner's alone."""
    with changing(tmp_path) as jobs:
        jobs.start("HZ-117", {"customer": "ACME", "subscribed_down_bits_per_second": 1e8}, _NOON)
    with changing(tmp_path) as jobs:
        assert jobs.current is not None
        jobs.current.note("rain", _EVENING)
    record = read_jobs(tmp_path).current
    assert record is not None
    assert (record.customer, record.subscribed_down_bits_per_second) == ("ACME", 1e8)
    assert record.noted() == [f"{_EVENING} rain"]
    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o600
    with changing(tmp_path) as jobs:
        jobs.finish(_EVENING)
    jobs = read_jobs(tmp_path)
    assert jobs.current is None
    assert [(job.id, job.finished) for job in jobs.jobs] == [("HZ-117", _EVENING)]


def test_a_job_that_is_started_again_keeps_what_it_had() -> None:
    """It is open again, says what is new, and has its notes."""
    jobs = Jobs()
    jobs.start("a", {"site": "roof"}, _NOON).note("wet", _NOON)
    jobs.finish(_EVENING)
    record = jobs.start("a", {"customer": "ACME"}, _EVENING)
    assert (record.site, record.customer, record.started, record.finished) == ("roof", "ACME", _NOON, None)
    assert len(record.notes) == len(jobs.jobs) == 1


def test_a_change_that_fails_writes_nothing(tmp_path: Path) -> None:
    """An exception in the middle of a change leaves the file as it was."""
    with changing(tmp_path) as jobs:
        jobs.start("a", {}, _NOON)
    before = path_of(tmp_path).read_bytes()
    with pytest.raises(RuntimeError), changing(tmp_path) as jobs:
        jobs.start("b", {}, _NOON)
        raise RuntimeError
    assert path_of(tmp_path).read_bytes() == before


def test_notes_taken_at_once_are_all_kept(tmp_path: Path) -> None:
    """Writers wait for one another, so none overwrites what another has just written."""
    with changing(tmp_path) as jobs:
        jobs.start("a", {}, _NOON)

    def note(number: int) -> None:
        with changing(tmp_path) as jobs:
            assert jobs.current is not None
            jobs.current.note(f"note {number}", _NOON)

    threads = [threading.Thread(target=note, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = read_jobs(tmp_path).current
    assert record is not None
    assert {note.text for note in record.notes} == {f"note {number}" for number in range(8)}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"jobs": [{"id": 5}]}', b"\xff" * 50, b"[" * 100_000]
)
def test_a_damaged_file_is_told(content: bytes, tmp_path: Path) -> None:
    """No run may lose its job without a word, so the file is named with what to do."""
    path_of(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        read_jobs(tmp_path)
    assert str(path_of(tmp_path)) in str(caught.value)
    assert "Move it away" in caught.value.remedy


def test_a_file_of_a_newer_ots_is_refused(tmp_path: Path) -> None:
    """An older OTS must not rewrite what it does not understand."""
    path_of(tmp_path).write_bytes(b'{"format": 2, "jobs": []}')
    with pytest.raises(StoreError, match="has format 2; this OTS reads format 1"):
        read_jobs(tmp_path)


def test_a_run_carries_the_open_job(tmp_path: Path) -> None:
    """All of it: texts, rates and notes; the settings fill in what it does not say."""
    with changing(tmp_path) as jobs:
        jobs.start("HZ-117", {"customer": "ACME", "subscribed_up_bits_per_second": 2e7}, _NOON).note(
            "x", _NOON
        )
    job = job_of_run(_settings(tmp_path, file_customer="other", file_engineer="Li Wei", file_id="HZ-1"), None)
    assert (job.id, job.customer, job.engineer) == ("HZ-117", "ACME", "Li Wei")
    assert (job.subscribed_down_bits_per_second, job.subscribed_up_bits_per_second) == (None, 2e7)
    assert job.notes == [f"{_NOON} x"]


def test_a_named_job_wins_over_the_open_one(tmp_path: Path) -> None:
    """The open job's customer must not get into another job's report; a known job brings its own."""
    with changing(tmp_path) as jobs:
        jobs.start("old", {"customer": "Old & Co"}, _NOON)
        jobs.finish(_EVENING)
        jobs.start("HZ-117", {"customer": "ACME"}, _EVENING)
    settings = _settings(tmp_path)
    assert job_of_run(settings, "HZ-118").customer is None
    assert job_of_run(settings, "old").customer == "Old & Co"
    assert job_of_run(settings, "HZ-117").customer == "ACME"


def test_the_environment_wins_over_the_open_job(tmp_path: Path) -> None:
    """A script that sets OTS_JOB_… means it; the settings file is only what holds otherwise."""
    with changing(tmp_path) as jobs:
        jobs.start("HZ-117", {"customer": "ACME", "site": "roof"}, _NOON)
    job = job_of_run(_settings(tmp_path, environment_site="cellar"), None)
    assert (job.id, job.customer, job.site) == ("HZ-117", "ACME", "cellar")
    job = job_of_run(_settings(tmp_path, environment_id="CI-5"), None)
    assert (job.id, job.customer) == ("CI-5", None)


def test_without_a_job_the_settings_hold(tmp_path: Path) -> None:
    """As before there were jobs."""
    job = job_of_run(_settings(tmp_path, file_id="HZ-1", file_site="roof"), None)
    assert (job.id, job.site, job.notes) == ("HZ-1", "roof", [])


def test_a_note_taken_during_a_run_is_in_its_report(tmp_path: Path) -> None:
    """The report of a run of two hours has what was noted in between."""
    settings = _settings(tmp_path)
    with changing(tmp_path) as jobs:
        jobs.start("HZ-117", {}, _NOON)
    job = job_of_run(settings, None)
    with changing(tmp_path) as jobs:
        record = jobs.finish(_EVENING)
        assert record is not None
        record.note("late", _EVENING)
    add_late_notes(settings, job)
    assert job.notes == [f"{_EVENING} late"]
