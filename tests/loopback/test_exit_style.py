"""`--exit-style nagios`, as a monitoring system calls it: one status line, and 0 to 3 whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import plugin_output
from tests.command_line import CommandLine


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    """`ots` with a home of its own."""
    return CommandLine(tmp_path)


_PING = ("ping", "127.0.0.1", "--count", "5", "--interval", "50 ms", "--timeout", "200 ms")
_STYLE = ("--exit-style", "nagios")


@pytest.mark.parametrize(
    ("limits", "code", "word", "data"),
    [
        ((), 0, "OK", "'ping_packet_loss_ratio'=0%;;;0;100"),
        (("--warn", "rtt median < 1 us"), 1, "WARNING", "s;@0.000001:"),
        (("--fail", "rtt median < 1 us"), 2, "CRITICAL", "s;;@0.000001:"),
    ],
)
def test_a_status_line_and_its_code(
    ots: CommandLine, limits: tuple[str, ...], code: int, word: str, data: str
) -> None:
    """The verdict decides both; a limit stands as a range beside its figure."""
    done = ots.run(*_PING, *limits, *_STYLE)
    output = plugin_output.parse(done.stdout)
    assert (output.service, output.state) == ("PING", word)
    assert data in done.stdout.splitlines()[0]
    assert done.returncode == code
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [("ping", "127.0.0.1", "--cout", "5"), ("run", "no-such-case.yaml"), (*_PING, "--fail", "nonsense")],
)
def test_what_never_ran_is_unknown(ots: CommandLine, arguments: tuple[str, ...]) -> None:
    """A mistyped option is no outage: monitoring gets a line that says what is wrong, and 3."""
    done = ots.run(*arguments, *_STYLE)
    output = plugin_output.parse(done.stdout)
    assert (output.service, output.state, output.data, output.more) == ("OTS", "UNKNOWN", [], [])
    assert done.returncode == 3


def test_the_report_goes_to_a_file_meanwhile(ots: CommandLine, tmp_path: Path) -> None:
    """--format and --output still hold; without --output there is no place for another format."""
    path = tmp_path / "results.xml"
    done = ots.run(*_PING, *_STYLE, "--format", "junit", "--output", str(path))
    assert done.returncode == 0
    assert done.stdout.startswith("PING OK - ")
    assert path.read_text("utf-8").startswith("<?xml")
    assert ots.run(*_PING, *_STYLE, "--format", "junit").returncode == 3
