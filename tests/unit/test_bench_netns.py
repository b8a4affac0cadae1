"""Namespaces of benches that were killed go with the next one; those of others stay."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.netns import clear_left, do, mine


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines()}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_only_what_the_dead_left_is_cleared() -> None:
    """A process that is gone, this one, and a name without a process."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, own, foreign = f"ots-bench-{gone.pid}-near", mine("near"), "ots-foreign-near"
    try:
        for name in (left, own, foreign):
            do("ip", "netns", "add", name)
        clear_left()
        assert namespaces() & {left, own, foreign} == {own, foreign}
    finally:
        for name in namespaces() & {left, own, foreign}:
            do("ip", "netns", "del", name)
