"""What every test has: the peers' fixtures, and a closing word about tests that could not run."""

from __future__ import annotations

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
    "tests.peers.embedded",
    "tests.packaging.distribution",
)
