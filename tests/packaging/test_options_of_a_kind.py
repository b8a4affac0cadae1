"""Options of `ots KIND`: where its report goes, parameters from a file, secrets; names of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from ots.commands.columns import in_columns
from tests.command_line import CommandLine


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    """`ots` in a home of its own."""
    return CommandLine(tmp_path)


def test_output_may_be_a_folder(ots: CommandLine, tmp_path: Path) -> None:
    """The report gets a name of number and case there, as `report export` gives it, and the name is told."""
    folder = tmp_path / "out"
    folder.mkdir()
    # Nobody listens on port 9 of loopback, so the run fails and still has its report.
    done = ots.run(
        *("tcp-connect", "127.0.0.1:9", "--count", "1", "--format", "html", "--output", str(folder))
    )
    assert done.returncode == 1, done.stderr
    page = folder / "1-tcp_connect.html"
    assert done.stdout == f"{page}\n"
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    said = ots.json("tcp-connect", "127.0.0.1:9", "--count", "1", "--output", str(folder), code=1)
    assert said["path"] == str(folder / "2-tcp_connect.json") and Path(said["path"]).is_file()


def test_faults_of_a_params_file_have_its_places(ots: CommandLine, tmp_path: Path) -> None:
    """File, line and column; what an option says instead is the option's."""
    file = tmp_path / "p.yaml"
    file.write_text("count: 3\nboo: 1\ninterval: abc\n", "utf-8")
    lines = ots.run("ping", "127.0.0.1", "--params", str(file)).stderr.splitlines()
    assert lines[0].startswith(f"{file}:2:6: unknown key 'boo'")
    assert lines[1] == f"{file}:3:11: interval: 'abc' is no duration: write it like 200 ms"
    lines = ots.run("ping", "127.0.0.1", "--params", str(file), "--interval", "5").stderr.splitlines()
    assert lines[0] == "--interval: 5 has no unit: write 5 ms or 5 s"
    assert lines[1].startswith(f"{file}:2:6: ")


def test_a_password_given_as_a_place_is_not_repeated(ots: CommandLine) -> None:
    """Whoever writes the secret itself is told where it may lie; nothing shows it again."""
    for more in ([], ["--json"]):
        done = ots.run("http-download", "http://127.0.0.1:9/", "--proxy-password-from", "hunter2", *more)
        assert done.returncode == 2
        assert "hunter2" not in done.stdout + done.stderr
        for form in ("--proxy-password-from", "env:NAME", "file:PATH", "prompt"):
            assert form in done.stdout + done.stderr


def test_long_cells_go_on_below() -> None:
    """The first column is never broken, no line is too wide, and columns stay under each other."""
    rows = [
        ("a_very_long_name_of_a_metric", "auto | raw | datagram", "how it is sent, at some length"),
        ("b", "text", "short"),
    ]
    lines = list(in_columns(rows, 70, widest=11))
    assert lines[0].startswith("  a_very_long_name_of_a_metric  auto | raw   how")
    assert lines[1].startswith(" " * 32 + "| datagram   ")
    assert all(len(line) <= 70 for line in lines)
    assert lines[-1].index("short") == lines[0].index("how")
    assert list(in_columns([], 62, widest=11)) == []


def test_config_get_and_set_name_the_same_settings(ots: CommandLine) -> None:
    """Whoever mistypes a setting reads one list, whichever command it was."""
    names = [
        ots.run("config", *command).stderr.splitlines()[1].strip(" →.").partition(": ")[2]
        for command in (["get", "no.such"], ["set", "no.such", "1"])
    ]
    assert names[0] == names[1]
    assert names[0].endswith(", vars.NAME")
