"""`ots cases`: what people and programs read, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ots.commands.cases import command
from ots.commands.output import CommandError
from tests.unit.case_kinds import KINDS
from tests.unit.test_case_load import WHOLE


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fake kinds, and a home without anybody's settings."""
    monkeypatch.setattr("ots.registry.kinds", lambda: KINDS)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def office(tmp_path: Path) -> Path:
    path = tmp_path / "office.yaml"
    path.write_text(WHOLE, "utf-8")
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def _json(*arguments: object) -> Any:
    return json.loads(_run(*arguments, "--json").stdout)


def test_check_a_right_case(office: Path) -> None:
    """A right case is one line and exit code 0."""
    result = _run("check", office)
    assert result.return_value == 0
    assert result.stdout == f"{office}: right   office-broadband v3, 10 steps\n"
    assert result.stderr == ""


def test_check_several(office: Path, tmp_path: Path) -> None:
    """All are looked at, a missing one too; one broken case makes the exit code 2."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("ots: 1\nid: c\n", "utf-8")
    result = _run("check", broken, tmp_path / "nowhere.yaml", office)
    assert result.return_value == 2
    assert result.stderr.splitlines() == [
        f"{broken}:1:1: a case needs 'steps'",
        f"{tmp_path}/nowhere.yaml: cannot read the case '{tmp_path}/nowhere.yaml': No such file or directory",
    ]
    assert result.stdout.startswith(f"{office}: right")


def test_check_as_json(tmp_path: Path) -> None:
    """One document; every problem has its place."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("ots: 1\nid: c\nsteps: []\n", "utf-8")
    (found,) = _json("check", broken)["cases"]
    assert (found["ok"], found["id"], found["steps"]) == (False, None, None)
    assert found["problems"] == [
        {"source": str(broken), "line": 3, "column": 8, "message": "must have at least 1 entry"}
    ]


def test_a_variable_from_the_command_line(tmp_path: Path) -> None:
    """A case whose variable must be given loads with --var."""
    case = tmp_path / "needs.yaml"
    case.write_text(
        "ots: 1\nid: c\nvars: {h: null}\nsteps:\n  - {id: a, probe: knock, target: '${h}'}\n", "utf-8"
    )
    assert "give it with --var h=…" in _run("check", case).stderr
    assert _run("check", case, "--var", "h=192.0.2.1").return_value == 0


def test_show(office: Path) -> None:
    """The steps with what was changed, limits, conditions and the schedule."""
    lines = _run("show", office).stdout.splitlines()
    assert lines[0] == "office-broadband v3   Office broadband"
    assert "  at */15 * * * * (Asia/Shanghai)" in lines
    assert any("gateway" in line and "192.0.2.1 192.0.2.2" in line and "2 times" in line for line in lines)
    assert "      knock_rtt_seconds p95: warn < 60 ms, fail < 150 ms" in lines
    assert any("loaded" in line and "during down" in line for line in lines)


def test_show_as_json_and_as_source(office: Path) -> None:
    """The document has every step expanded; the source is the text itself."""
    document = _json("show", office)
    assert [step["key"] for step in document["steps"]][:2] == ["gateway", "neighbours"]
    assert document["steps"][0]["params"]["interval"] == "20 ms"
    assert _run("show", office, "--source").stdout == WHOLE


def test_own_cases_have_names(tmp_path: Path) -> None:
    """A file in the settings folder is listed and found by its name, before a shipped one."""
    folder = tmp_path / "config" / "ots" / "cases"
    folder.mkdir(parents=True)
    (folder / "office.yaml").write_text(WHOLE, "utf-8")
    rows = {row["name"]: row for row in _json("list")["cases"]}
    assert rows["office"] == {
        "name": "office",
        "from": str(folder / "office.yaml"),
        "title": "Office broadband",
    }
    assert _run("check", "office").return_value == 0


def test_new_writes_once(tmp_path: Path) -> None:
    """A template becomes a file that checks; what is there is never overwritten."""
    path = tmp_path / "my office.yaml"
    assert _run("new", "fetch-page", "knock", "--output", path).exit_code == 0
    assert "id: my-office\n" in path.read_text("utf-8")
    assert _run("check", path).return_value == 0
    again = _run("new", "knock", "--output", path)
    assert isinstance(again.exception, CommandError)
    assert again.exception.code == 2


def test_new_of_an_unknown_probe() -> None:
    """A probe that isn't there is named, with where to look."""
    result = _run("new", "nock")
    assert isinstance(result.exception, CommandError)
    assert (result.exception.message, result.exception.remedy) == ("no probe 'nock'", "see ots probes list")


def test_a_case_that_is_not_there(tmp_path: Path) -> None:
    """A name that no case has lists those there are."""
    result = _run("show", "nowhere")
    assert isinstance(result.exception, CommandError)
    assert result.exception.message.startswith("no case file 'nowhere' and no case of that name; there are: ")
