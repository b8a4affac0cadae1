"""What goes wrong around a run: no disk, no rights, two at once, broken settings, bad limits."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.peers.require import not_applicable


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def port() -> Iterator[int]:
    """A listening port of this process; the kernel completes the handshakes."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server.getsockname()[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    if os.geteuid() != 0:
        not_applicable("mounting a small disk takes root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Writes until nothing more fits."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        for size in (65536, 512, 1):
            try:
                while ballast.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


def test_a_disk_that_is_full_from_the_start_runs_nothing(
    ots: CommandLine, small_disk: Path, port: int
) -> None:
    """Exit 7 with the reason and what to do; nothing was measured that could not be kept."""
    fill(small_disk)
    done = ots.run("tcp-connect", f"127.0.0.1:{port}", env={"OTS_DATA_DIR": str(small_disk)})
    assert done.returncode == 7, done.stdout + done.stderr
    assert "full" in done.stderr or "space" in done.stderr
    assert "→" in done.stderr


def test_a_disk_that_fills_up_during_the_run_costs_the_report_not_the_verdict(
    ots: CommandLine, small_disk: Path, port: int
) -> None:
    """The verdict stands on stdout, the exit code is 7, and the store is sound once there is room again."""
    place = {"OTS_DATA_DIR": str(small_disk)}
    assert ots.run("tcp-connect", f"127.0.0.1:{port}", "--count", "1", env=place).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as door:
        # The second connection of the measurement is the moment at which the disk fills up.
        def fill_on_visit() -> None:
            for _ in range(2):
                door.accept()[0].close()
            fill(small_disk)

        filler = threading.Thread(target=fill_on_visit)
        filler.start()
        target = f"127.0.0.1:{door.getsockname()[1]}"
        done = ots.run("tcp-connect", target, "--count", "5", "--interval", "300 ms", env=place)
        filler.join()
    assert done.returncode == 7, done.stdout + done.stderr
    assert "measured" in done.stdout
    assert "not stored" in done.stderr
    (small_disk / "ballast").unlink()
    listed = ots.run("report", "list", env=place)
    assert listed.returncode == 0, listed.stderr
    assert ots.run("tcp-connect", f"127.0.0.1:{port}", "--count", "1", env=place).returncode == 0


def test_a_data_folder_that_is_a_file_is_told(ots: CommandLine, tmp_path: Path, port: int) -> None:
    """A wrong setting is no internal error."""
    obstacle = tmp_path / "data"
    obstacle.write_text("not a folder")
    done = ots.run("tcp-connect", f"127.0.0.1:{port}")
    assert done.returncode == 7, done.stderr
    assert str(obstacle) in done.stderr


def test_two_runs_at_once_keep_their_reports_apart(ots: CommandLine, port: int) -> None:
    """Four processes on one store: four reports, four numbers."""
    processes = [ots.begin("tcp-connect", f"127.0.0.1:{port}", "--count", "3") for _ in range(4)]
    for process in processes:
        _out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    rows = ots.reports()
    assert len(rows) == 4
    assert {row["seq"] for row in rows} == {1, 2, 3, 4}
    assert {row["state"] for row in rows} == {"completed"}


def test_json_is_one_document_also_for_an_error(ots: CommandLine) -> None:
    """Whatever goes wrong, a script reads JSON with a message and an exit code."""
    for arguments in (
        ("run", "no-such-case"),
        ("run", "ping", "--var", "tarket=127.0.0.1"),
        ("tcp-connect", "no port here"),
        ("tcp-connect", "127.0.0.1:1", "--count", "0"),
        ("tcp-connect", "127.0.0.1:1", "--nonsense", "1"),
        ("nonsense",),
        ("report", "show", "no-such-report"),
    ):
        document = ots.json(*arguments, code=2)
        assert set(document) == {"error"}
        assert document["error"]["message"]
        assert document["error"]["exit_code"] == 2


def test_a_refused_port_fails_with_one(ots: CommandLine) -> None:
    """A service that refuses is a result: exit 1, class refused, a stored report."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = ots.run("tcp-connect", f"127.0.0.1:{closed.getsockname()[1]}", "--count", "2")
    assert done.returncode == 1
    assert ots.report()["steps"][0]["error"]["class"] == "refused"
