"""The layer contracts of setup.cfg: they are there, exhaustive, and the pure parts stay pure."""

from __future__ import annotations

import configparser
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _config() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_the_layers_are_checked_exhaustively() -> None:
    """A new part of `ots` must say where it stands, or `make check` fails."""
    contract = _config()["importlinter:contract:layers"]
    assert contract["containers"].split() == ["ots"]
    assert contract.getboolean("exhaustive")


def test_every_package_of_the_tree_is_listed() -> None:
    """setup.cfg names each package, for what it does not name is not installed."""
    listed = set(_config()["options"]["packages"].split())
    found = {"ots"} | {
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "ots").glob("*/**/__init__.py")
    }
    assert found == listed


@pytest.mark.parametrize(
    "module",
    ["ots.model", "ots.stats", "ots.units", "ots.schema.case", "ots.strictyaml", "ots.probe"],
)
def test_pure_parts_import_no_event_loop_and_no_command_line(module: str) -> None:
    """Importing a pure part pulls in neither asyncio nor click nor aiohttp."""
    importlib.import_module(module)
    code = f"import sys, {module}; print(*[m for m in ('asyncio', 'click', 'aiohttp') if m in sys.modules])"
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == []
