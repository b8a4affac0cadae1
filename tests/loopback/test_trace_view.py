"""What a person sees of a trace while it runs: a moving table on a terminal, nothing anywhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from ots.registry import kinds
from tests.recording import record

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "ots", "trace", "127.0.0.1", "--protocol", "udp", "--interval", "150ms"]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTS_", "XDG_"))}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}


def test_the_table_moves_on_a_terminal(tmp_path: Path) -> None:
    """With a terminal as stderr each cycle shows: hop, address, loss and how many were sent."""
    master, terminal = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, "--count", "6"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while chunk := _read(master):
        shown += chunk
    os.close(master)
    assert child.wait(timeout=30) == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    live = text.partition("measured")[0]
    sent = {int(number) for number in re.findall(r"1 127\.0\.0\.1 +0 % +(\d+) +\d", live)}
    assert len(sent) >= 3 and max(sent) >= 5, text
    assert re.search(r"address +loss +sent +last +mean +best +worst", live)


def test_without_a_terminal_there_is_no_table(tmp_path: Path) -> None:
    """Neither on stdout, which has the result, nor on stderr."""
    done = subprocess.run(
        [*COMMAND, "--count", "2"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert "worst" not in done.stdout + done.stderr
    assert "127.0.0.1" in done.stdout


def _read(descriptor: int) -> bytes:
    """What comes next; nothing once the other end is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


async def test_a_data_budget_ends_it() -> None:
    """What is on its way when the budget is used up still counts; then the attempt ends, class resource."""
    recording = await record(
        kinds()["trace"], "127.0.0.1", {"protocol": "udp", "count": 50, "interval": 0.01}, max_bytes=1000
    )
    error = recording.only.error
    assert error is not None
    assert error.class_ == "resource"
    assert 1 <= recording.metric("trace_hop_loss_ratio").n < 20
