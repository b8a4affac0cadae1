"""The servers at the far end of a link: OTS's own test peers, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.link import Ends


@dataclass(frozen=True, slots=True)
class Far:
    """Where the peers listen."""

    host: str
    ports: dict[str, int]

    def http(self, path: str) -> str:
        return f"http://{self.host}:{self.ports['http']}{path}"

    def ftp(self, path: str) -> str:
        return f"ftp://{self.host}:{self.ports['ftp']}{path}"


@contextmanager
def servers(ends: Ends, *, within: Sequence[str] = ()) -> Iterator[Far]:
    """The embedded peers at the far end until the block ends; `within` is put before their command."""
    process = subprocess.Popen(
        [*ends.far_prefix, *within, sys.executable, "-m", "ots.server.peers", "--host", ends.far_address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        document = json.loads(process.stdout.readline() or "null")
        if document is None:
            raise RuntimeError("the peers do not listen")
        yield Far(document["host"], document["ports"])
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
