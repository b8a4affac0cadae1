"""The corpus of broken cases: each file says, in its own comments, every message that it must give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ots.commands import exit_codes
from ots.commands.cases import command
from ots.main import main
from ots.schema.load import CaseError, load_case
from tests.unit.case_kinds import KINDS

_CORPUS = sorted((Path(__file__).parent / "broken_cases").glob("*.yaml"))
_EXPECTED = re.compile(r"^# expect: (.*)$", re.MULTILINE)


@pytest.mark.parametrize("path", _CORPUS, ids=lambda path: path.stem)
def test_broken_case(path: Path) -> None:
    """The loader finds exactly the problems that the file announces, each at its line and column."""
    text = path.read_text("utf-8")
    with pytest.raises(CaseError) as caught:
        load_case(text, "case.yaml", KINDS, {})
    found = [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]
    assert found == _EXPECTED.findall(text)
    assert str(caught.value).splitlines()[0] == f"case.yaml:{found[0]}"


def test_the_corpus_is_large() -> None:
    """There are more than 150 broken cases, and each announces something."""
    assert len(_CORPUS) > 150
    assert all(_EXPECTED.search(path.read_text("utf-8")) for path in _CORPUS)


@pytest.mark.parametrize(
    "name",
    [
        "001-tab-indent",
        "011-duplicate-key",
        "027-newer-format",
        "035-unknown-top-key",
        "170-unknown-time-zone",
    ],
)
def test_the_command_says_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ots cases check` prints the messages to stderr and exits with 2."""
    path = next(path for path in _CORPUS if path.stem == name)
    monkeypatch.setattr("ots.registry.kinds", lambda: KINDS)
    result = CliRunner().invoke(command, ["check", str(path)], standalone_mode=False)
    expected = [f"{path}:{message}" for message in _EXPECTED.findall(path.read_text("utf-8"))]
    assert result.return_value == exit_codes.USAGE
    assert result.stderr.splitlines() == expected
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["001-tab-indent", "068-many-faults-at-once", "124-ratio-too-few"])
def test_nothing_runs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`ots run` of a broken case says the same, exits with 2 and leaves no file; --json has every place."""
    path = next(path for path in _CORPUS if path.stem == name)
    expected = _EXPECTED.findall(path.read_text("utf-8"))
    monkeypatch.setattr("ots.session.prepare.kinds", lambda: KINDS)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit) as leaving:
        main(["run", str(path)])
    assert leaving.value.code == exit_codes.USAGE
    assert capsys.readouterr().err.splitlines() == [f"{path}:{message}" for message in expected]
    with pytest.raises(SystemExit) as leaving:
        main(["run", str(path), "--json"])
    details = json.loads(capsys.readouterr().out)["error"]["details"]
    assert leaving.value.code == exit_codes.USAGE
    assert [f"{found['line']}:{found['column']}: {found['message']}" for found in details] == expected
    assert list(tmp_path.iterdir()) == []
