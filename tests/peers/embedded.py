"""Our own test peers, as `ots demo` starts them: one child process for the session."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ots.server.peers.process import START_LIMIT, Peers
from tests.peers.process import end

__all__ = ["peers"]


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """The embedded peers: HTTP, HTTPS, DNS, FTP, SMTP, POP3; `peers.variables()` is for cases."""
    certificate = tmp_path_factory.mktemp("peers") / "certificate.pem"
    process = subprocess.Popen(
        [sys.executable, "-m", "ots.server.peers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(START_LIMIT), "the embedded peers say nothing"
        document = json.loads(process.stdout.readline())
        certificate.write_text(document["certificate"])
        yield Peers(document["host"], document["ports"], str(certificate), process.pid)
        process.stdin.close()
    finally:
        end(process)
        process.stdout.close()
