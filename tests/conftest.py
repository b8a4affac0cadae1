"""What every test has: the peers' fixtures, and a closing word about tests that could not run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes says how busy the machine is, and pytest-timeout ends what hangs.
settings.register_profile("ots", deadline=None)
settings.load_profile("ots")

# Hundreds of tests start `ots` as a user does, whose Python compiles a module once and not each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = (
    "tests.peers.closing",
    "tests.peers.authority",
    "tests.peers.nginx",
    "tests.peers.caddy",
    "tests.peers.unbound",
    "tests.peers.vsftpd",
    "tests.peers.pure_ftpd",
    "tests.peers.dovecot",
    "tests.peers.postfix",
    "tests.peers.postgres",
    "tests.peers.embedded",
    "tests.peers.cloud",
    "tests.peers.server_suite",
    "tests.packaging.distribution",
)

_FIRST = {"packaging": -1, "unit": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, those of a moment last: all workers end at about one time."""
    here = Path(__file__).parent
    items.sort(key=lambda item: _FIRST.get(item.path.relative_to(here).parts[0], 0))
