"""What `ots --help` imports: little, so that the command answers at once."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize(("language", "heading"), [("en", "Examples:"), ("zh", "示例：")])
def test_help_ends_with_examples_that_can_be_copied(language: str, heading: str) -> None:
    """Each stands on a line of its own, however narrow the terminal."""
    outcome = subprocess.run(
        [sys.executable, "-m", "ots", "--lang", language, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "40"},
    )
    heading_, *examples = outcome.stdout.splitlines()[-4:]
    assert heading_ == heading
    assert all(re.match(r"  ots \w+ \S", example) for example in examples)
