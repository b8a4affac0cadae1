"""What every test has: the peers' fixtures, and a closing word about tests that could not run."""

from __future__ import annotations

import os
import sys

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
    "tests.peers.embedded",
    "tests.packaging.distribution",
)
