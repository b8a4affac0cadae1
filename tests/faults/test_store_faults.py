"""The store under kill -9, several processes, a full disk, missing rights and damaged files."""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from ots.config.agent import agent_id
from ots.store import Store, StoreError
from ots.store.liveness import FileLock
from tests.peers.require import not_applicable
from tests.store_kit import AGENT, finish, make_report, make_step

KILLS = 25
SEED = 20260301
LIMIT = 60.0
NOBODY = 65534


def writer(folder: Path) -> subprocess.Popen[str]:
    """A process that writes steps until it is ended, and prints each that is on the disk."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store_kit", str(folder)], stdout=subprocess.PIPE, text=True
    )


def lines_until_killed(process: subprocess.Popen[str], steps: int, delay: float) -> list[int]:
    """Kills the process this long after it has stored so many steps; the steps that it had reported."""
    assert process.stdout is not None
    stored: list[int] = []
    assert process.stdout.readline() == "begun\n"
    while len(stored) < steps:
        stored.append(int(process.stdout.readline()))
    killer = threading.Timer(delay, process.kill)
    killer.start()
    stored += [int(line) for line in process.stdout if line.endswith("\n")]
    killer.join()
    assert process.wait(LIMIT) == -signal.SIGKILL
    process.stdout.close()
    return stored


def test_kill_keeps_every_step_that_had_ended(tmp_path: Path) -> None:
    """Killed at many random moments: no reported step is lost and the store is sound."""
    chance = random.Random(SEED)
    for number in range(1, KILLS + 1):
        stored = lines_until_killed(writer(tmp_path), chance.randrange(12), chance.random() * 0.02)
        with Store.open(tmp_path) as store:
            entry = store.get("last")
            report = store.report(entry)
            assert store.select("PRAGMA integrity_check") == [("ok",)]
        assert entry.seq == number
        assert (entry.state, entry.reason, entry.verdict) == ("aborted", "killed", "error")
        kept = [step.key for step in report.steps]
        assert kept[: len(stored)] == [f"step-{n}" for n in stored]
        assert len(kept) - len(stored) in (0, 1)
    assert list((tmp_path / "runs").iterdir()) == []


def test_live_run_of_another_process_is_listed_as_running(tmp_path: Path) -> None:
    """A run is running while its process lives, and killed as soon as that is gone."""
    process = writer(tmp_path)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["begun\n", "0\n", "1\n"]
    with Store.open(tmp_path) as store:
        assert store.get("last").running
        assert len(store.report(store.get("last")).steps) >= 2
    process.kill()
    process.communicate(timeout=LIMIT)
    with Store.open(tmp_path) as store:
        assert store.get("last").reason == "killed"


def write_reports(folder: Path, count: int) -> None:
    with Store.open(folder) as store:
        for _ in range(count):
            finish(store, make_report(), make_step(0), make_step(1))


def test_processes_share_one_store(tmp_path: Path) -> None:
    """Four processes make and fill a store at once: every report is there, each with a number of its own."""
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        for done in [pool.submit(write_reports, tmp_path, 12) for _ in range(4)]:
            done.result(LIMIT)
    with Store.open(tmp_path) as store:
        entries = store.list()
        assert sorted(entry.seq for entry in entries) == list(range(1, 49))
        assert all(len(store.report(entry).steps) == 2 for entry in entries)


def test_processes_agree_on_one_agent(tmp_path: Path) -> None:
    """Processes that start together on a new machine find one id, and leave no draft behind."""
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        ids = {done.result(LIMIT) for done in [pool.submit(agent_id, tmp_path / "new") for _ in range(16)]}
    assert len(ids) == 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["agent-id"]


def recover(folder: Path) -> int:
    with Store.open(folder) as store:
        return sum(entry.reason == "killed" for entry in store.list())


def test_dead_run_is_closed_once(tmp_path: Path) -> None:
    """Processes that start together agree on the dead run's report; it is never seen half closed."""
    lines_until_killed(writer(tmp_path), 3, 0.0)
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        seen = [done.result(LIMIT) for done in [pool.submit(recover, tmp_path) for _ in range(8)]]
    assert set(seen) <= {0, 1}  # 0: another process was just closing it
    assert recover(tmp_path) == 1


def test_lock_waits_for_nobody_and_survives_removal(tmp_path: Path) -> None:
    """A held lock is refused at once; one whose file was removed is taken anew."""
    path = tmp_path / "lock"
    first = FileLock.take(path)
    assert first is not None
    assert FileLock.take(path) is None
    first.release(remove=True)
    assert not path.exists()
    second = FileLock.take(path)
    assert second is not None
    second.release()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 800 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        not_applicable("mounting a small disk needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(store: Store) -> StoreError:
    """Writes steps until the store refuses; what it said."""
    with store.begin(make_report()) as run:
        for number in range(2000):
            try:
                run.step(number, make_step(number, log=4000))
            except StoreError as error:
                return error
    raise AssertionError("the disk did not fill up")


def test_full_disk_keeps_what_was_stored(small_disk: Path) -> None:
    """No space: a clear message with its remedy; what was stored stays readable; with space it goes on."""
    folder, ballast = small_disk / "data", small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    with Store.open(folder) as store:
        finish(store, make_report(), make_step(0))
        error = fill_up(store)
        assert "No space left" in str(error)
        assert "ots report delete" in error.remedy
        assert store.report(store.get("1")).steps[0].key == "step-0"
        assert len(store.report(store.get("2")).steps) > 3
    ballast.unlink()
    with Store.open(folder) as store:
        assert store.get("2").reason == "killed"
        store.delete(store.get("2"))
        finish(store, make_report(), make_step(0))
        assert [entry.seq for entry in store.list()] == [3, 1]
        assert store.select("PRAGMA integrity_check") == [("ok",)]


def test_full_disk_at_the_start(small_disk: Path) -> None:
    """A disk with no room at all: opening says so, in a StoreError."""
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(bytes(900_000))
    with pytest.raises(StoreError, match="No space left"):
        Store.open(small_disk / "data")


def fill_up_under_limit(folder: Path) -> tuple[str, list[str]]:
    """As on a full disk, for anybody: the kernel refuses to let a file grow beyond 200 kB."""
    with Store.open(folder) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        error = fill_up(store)
        return str(error), [step.key for step in store.report(store.get("last")).steps[:3]]


def test_file_that_may_not_grow(tmp_path: Path) -> None:
    """A quota is told like a full disk, and the steps before it are there."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        message, steps = pool.submit(fill_up_under_limit, tmp_path).result(LIMIT)
    assert "No space left" in message
    assert steps == ["step-0", "step-1", "step-2"]
    with Store.open(tmp_path) as store:
        assert store.get("last").reason == "killed"


def as_ordinary_user(work: Callable[[Path], str], folder: Path) -> str:
    """What the function returns in a process whose user root's rights don't help."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=give_up_rights) as pool:
        return pool.submit(work, folder).result(LIMIT)


def give_up_rights() -> None:
    """Becomes nobody, after everything was imported that an interpreter in root's home would hide."""
    import ots.store.document  # noqa: F401

    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def try_to_open(folder: Path) -> str:
    try:
        Store.open(folder).close()
    except StoreError as error:
        return f"{error} | {error.remedy}"
    return "opened"


def read_only(folder: Path) -> str:
    with Store.open_read_only(folder) as store:
        return f"{[entry.seq for entry in store.list()]} {len(store.report(store.get('last')).steps)}"


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that another user can reach; pytest's own can't be."""
    with tempfile.TemporaryDirectory(prefix="ots-test-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


def test_folder_without_write_permission(public_folder: Path) -> None:
    """A folder that belongs to somebody else: said in words, with the way out."""
    place = public_folder / "data"
    place.mkdir(mode=0o555)
    said = as_ordinary_user(try_to_open, place)
    assert "can't be used: Permission denied" in said
    assert "OTS_DATA_DIR" in said


def test_somebody_elses_store_can_be_read(public_folder: Path) -> None:
    """A store that one may only read is listed and read, though no side file can be made beside it."""
    place = public_folder / "data"
    with Store.open(place) as store:
        finish(store, make_report(), make_step(0))
    (place / "store.sqlite3").chmod(0o444)
    place.chmod(0o555)
    try:
        assert as_ordinary_user(read_only, place) == "[1] 1"
        assert "can't be" in as_ordinary_user(try_to_open, place)
    finally:
        place.chmod(0o755)


def test_garbage_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is no database: kept under another name, said loudly, and a new store works."""
    (tmp_path / "store.sqlite3").write_bytes(b"no database at all\n" * 500)
    with caplog.at_level(logging.WARNING, "ots.store"), Store.open(tmp_path) as store:
        finish(store, make_report())
        assert store.get("last").seq == 1
    kept = list(tmp_path.glob("store.damaged-*.sqlite3"))
    assert [path.read_bytes()[:11] for path in kept] == [b"no database"]
    assert str(kept[0]) in caplog.text
    assert "was replaced" in caplog.text


def test_damage_inside_is_noticed_and_the_rest_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Overwritten pages: the reader is told; the next start saves what can be read, and the numbers go on."""
    with Store.open(tmp_path) as store:
        for _ in range(40):
            finish(store, make_report(), make_step(0, log=24_000))  # several pages each
    path = tmp_path / "store.sqlite3"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096 * 3)
    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="damaged") as told:
        for entry in store.list():
            store.document(entry)
    assert "moved aside" in told.value.remedy
    with caplog.at_level(logging.WARNING, "ots.store"), Store.open(tmp_path) as store:
        assert store.select("PRAGMA integrity_check") == [("ok",)]
        saved = store.list()
        assert 30 < len(saved) < 40
        assert all(len(store.report(entry).steps) == 1 for entry in saved)
        assert store.next_seq(AGENT) == 41
    assert f"{len(saved)} reports could be read" in caplog.text
    assert len(list(tmp_path.glob("store.damaged-*.sqlite3"))) == 1
    assert not (tmp_path / "store.damaged").exists()


@pytest.mark.parametrize("size", [0, 50, 1000, 5000])
def test_truncated_file(tmp_path: Path, size: int) -> None:
    """Cut off anywhere: the next start has a store that works."""
    with Store.open(tmp_path) as store:
        finish(store, make_report(), make_step(0))
    os.truncate(tmp_path / "store.sqlite3", size)
    for _ in range(2):
        try:
            with Store.open(tmp_path) as store:
                finish(store, make_report())
                assert store.select("PRAGMA integrity_check") == [("ok",)]
                return
        except StoreError as error:
            assert "damaged" in str(error)
    pytest.fail("the second start did not replace the damaged store")
