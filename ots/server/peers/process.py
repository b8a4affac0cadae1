"""Starts the embedded peers in a process of their own, apart from the probes' interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import ots

START_LIMIT = 20.0
"""Seconds that the peers may take until they listen; a slow machine imports for a while."""

_END_LIMIT = 3.0


class PeersFailed(Exception):
    """The peers did not come up; the message says why."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the embedded peers listen. `ca_file` holds the certificate of HTTPS and SMTP, as PEM."""

    host: str
    ports: Mapping[str, int]
    ca_file: str
    pid: int

    def authority(self, name: str) -> str:
        """`host:port` of a peer by its name (`http`, `udp_echo` …), an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.ports[name]}"

    @property
    def url(self) -> str:
        return f"http://{self.authority('http')}"

    @property
    def tls_url(self) -> str:
        return f"https://{self.authority('https')}"

    def variables(self) -> dict[str, str]:
        """The variables with which a case finds the peers."""
        return {
            "server": self.url,
            "host": self.host,
            "tcp": self.authority("http"),
            "tls": self.authority("https"),
            "dns": self.authority("dns"),
            "ftp": f"ftp://{self.authority('ftp')}",
            "smtp": f"smtp://{self.authority('smtp')}",
            "pop3": f"pop3://ots@{self.authority('pop3')}",
            "udp_echo": self.authority("udp_echo"),
            "ca": self.ca_file,
        }

    def describe(self) -> list[str]:
        """One word for each peer: `http 127.0.0.1:40123`."""
        return [f"{name} {self.authority(name)}" for name in self.ports]


@contextlib.asynccontextmanager
async def started(host: str = "127.0.0.1") -> AsyncIterator[Peers]:
    """Runs the peers for as long as the context is open. PeersFailed if they don't come up."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ots.server.peers",
        "--host",
        host,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(),
        # Ctrl-C belongs to the one who started the peers: they end when their standard input closes.
        start_new_session=True,
    )
    with tempfile.TemporaryDirectory(prefix="ots-peers-") as folder:
        try:
            yield await _ready(process, Path(folder))
        finally:
            await _end(process)


def child_environment() -> dict[str, str]:
    """Ours, and first of all the folder where this very `ots` was found: a checkout isn't installed."""
    home = str(Path(ots.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{known}" if known else home}


async def _ready(process: asyncio.subprocess.Process, folder: Path) -> Peers:
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(START_LIMIT):
            line = await process.stdout.readline()
            if not line:
                reason = (await process.stderr.read()).decode(errors="replace").strip()
                raise PeersFailed(reason.rpartition("\n")[2] or "the test peers ended at once")
    except TimeoutError:
        raise PeersFailed(f"the test peers did not listen within {START_LIMIT:g} s") from None
    document = json.loads(line)
    ca_file = folder / "ca.pem"
    ca_file.write_text(document["certificate"])
    return Peers(document["host"], document["ports"], str(ca_file), process.pid)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closes their standard input, then insists."""
    assert process.stdin is not None
    process.stdin.close()
    for insist in (process.terminate, process.kill):
        try:
            async with asyncio.timeout(_END_LIMIT):
                # Not wait(): a full pipe of error text would keep the child from ending.
                await process.communicate()
                return
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                insist()
    await process.wait()
