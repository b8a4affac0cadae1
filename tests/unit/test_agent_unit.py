"""The service's unit before systemd itself: it is valid, and it asks for few rights."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ots.agent import unit
from ots.agent.passing import Clocks, absence
from tests.command_line import CommandLine

MOST_EXPOSED = 2.0
"""Of 10; what systemd calls OK and better. It is 1.8."""


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("user", [None, "daemon"])
def test_the_unit_is_valid_and_exposes_little(tmp_path: Path, user: str | None) -> None:
    place = tmp_path / unit.NAME
    place.write_text(unit.text(user))
    verified = analyze("verify", "--man=no", str(place))
    assert verified.returncode == 0, verified.stderr
    assert unit.NAME not in verified.stderr
    judged = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", str(place))
    assert judged.returncode == 0, judged.stdout[-400:]
    score = re.search(r"exposure level for .*: ([\d.]+)", judged.stdout)
    assert score is not None
    assert float(score[1]) <= MOST_EXPOSED


def test_the_only_capability_is_that_of_raw_sockets() -> None:
    lines = unit.text().splitlines()
    assert "AmbientCapabilities=CAP_NET_RAW" in lines
    assert "CapabilityBoundingSet=CAP_NET_RAW" in lines
    assert "Type=notify" in lines


def test_it_is_shown_and_where_systemd_does_not_run_nothing_is_called(tmp_path: Path) -> None:
    shown = CommandLine(tmp_path).run("agent", "install", "--print")
    assert shown.stdout == unit.text()


def test_sleep_and_set_clocks_are_told_apart() -> None:
    before = Clocks(1000.0, 50.0, 80.0)
    assert absence(before, Clocks(1020.0, 70.0, 100.0)) == "busy"
    assert absence(before, Clocks(4600.0, 70.0, 3680.0)) == "asleep"
    assert absence(before, Clocks(4600.0, 70.0, 100.0)) == "clock"
    assert absence(before, Clocks(400.0, 70.0, 100.0)) == "busy"
