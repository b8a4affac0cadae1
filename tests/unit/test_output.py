"""What people read: colours where wanted, parameters in one order, a start screen that tells the truth."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from ots.commands.output import takes_colour
from ots.main import cli
from ots.reports import facts


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_can_be_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: bool
) -> None:
    """By NO_COLOR (no-color.org: not empty) and by a terminal that has none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert takes_colour() is wanted


def test_a_stored_report_shows_its_parameters_as_the_run_did() -> None:
    """The order is ours, not that of the document: a store has the keys sorted."""
    declared = {"family": "6", "count": 3, "interval": "10 ms", "size": "56 B", "dscp": 8}
    stored = dict(sorted(declared.items()))
    shown = facts.parameters(declared)
    assert shown == facts.parameters(stored)
    assert shown[:3] == ["count 3", "interval 10 ms", "size 56 B"]


def test_a_parameter_without_default_shows_a_dash() -> None:
    """Nobody has to know what Python calls nothing."""
    shown = CliRunner().invoke(cli, ["--lang", "en", "probes", "show", "ping"]).output
    row = next(line for line in shown.splitlines() if line.split()[:1] == ["interface"])
    assert "–" in row.split() and "None" not in shown


def test_what_the_start_screen_proposes_for_a_new_case_works() -> None:
    """The line is taken from the screen and run."""
    screen = CliRunner().invoke(cli, ["--lang", "en"])
    line = next(line for line in screen.output.splitlines() if "cases new" in line)
    words = line.split("   ")[0].split()
    made = CliRunner().invoke(cli, ["--lang", "en", *words[1:]])
    assert made.exit_code == 0, made.output
    assert made.output.lstrip().startswith("#") or "ots: 1" in made.output
