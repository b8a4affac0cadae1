"""What `ots --help` imports: little, so that the command answers at once."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp",
    "pydantic",
    "rich",
    "msgspec",
    "jinja2",
    "cryptography",
    "dns",
    "yaml",
    "asyncio",
    "psutil",
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--lang", "zh", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """`-X importtime` of the help lists none of the libraries that measure, check or draw."""
    outcome = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ots", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {match[1].partition(".")[0] for match in re.finditer(r"\| +([\w.]+)$", outcome.stderr, re.M)}
    assert "click" in imported
    assert imported.isdisjoint(HEAVY)
