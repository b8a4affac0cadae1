"""Our own test server as a service: `ots server peers`, in processes of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.peers.process import end

__all__ = ["served"]


@contextlib.contextmanager
def served(*options: str, prefix: Sequence[str] = ()) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serves until the block ends: the URL of the first place, and the process. RuntimeError if it can't."""
    places = () if {"--listen", "--listen-tls"} & set(options) else ("--listen", "127.0.0.1:0")
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "ots", "server", "peers", *places, *options, "--json"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        text = ""
        while line := process.stdout.readline():
            text += line
            if line == "}\n":
                break
        else:
            raise RuntimeError(process.stderr.read())
        document = json.loads(text)
        if "error" in document:
            raise RuntimeError(document["error"]["message"])
        yield document["urls"][0], process
    finally:
        end(process)  # type: ignore[arg-type]
        process.stdout.close()
        process.stderr.close()
