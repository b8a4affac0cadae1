"""Agents as processes that obey a server, for tests of remote control."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.agent_kit import Agent
from tests.cloud_kit import ROOT, CloudServer, Visitor
from tests.peers.process import end


@dataclass
class ObedientAgent:
    """An enrolled agent and its process, which may be killed and started again.

    `kind` is what `tests.control_child` takes for it.
    """

    folder: Path
    agent_id: str
    kind: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.control_child", str(self.folder), self.kind],
                cwd=ROOT,
                env={**os.environ, "OTS_DATA_DIR": str(self.folder), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, grace=5)
            self.process = None

    def kill(self) -> None:
        """As a power cut would, its children too."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()
        self.process = None

    def ots(self, *argv: str) -> str:
        """What a command says on this machine."""
        done = subprocess.run(
            [sys.executable, "cli.py", *argv],
            cwd=ROOT,
            env={**os.environ, "OTS_DATA_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ran(self) -> list[str]:
        """The orders that were begun, each time that one was."""
        path = self.folder / "runs.log"
        return path.read_text().split() if path.exists() else []


def enrolled(
    server: CloudServer, folder: Path, url: str | None = None, *, quick: bool = False
) -> ObedientAgent:
    """An agent with a place on the server; `url` where it is to find the server, if elsewhere.

    With `quick` its runs take a third of a second and measure nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    agent = Agent(folder)
    token = server.open_token()
    with ThreadPoolExecutor(1) as aside:  # tests have an event loop of their own
        aside.submit(agent.enrol, _At(url or server.url), token).result()
    return ObedientAgent(folder, agent.settings().agent_id, "quick" if quick else "")


@dataclass(frozen=True)
class _At:
    url: str


@contextlib.contextmanager
def obedient(server: CloudServer, folder: Path, url: str | None = None) -> Iterator[ObedientAgent]:
    """Enrolled and running for as long as the block lasts."""
    agent = enrolled(server, folder, url)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


async def settled(visitor: Visitor, path: str, within: float = 40.0) -> dict[str, Any]:
    """A command or group run once nothing more is to come of it."""
    end = time.monotonic() + within
    mark = ""
    while True:
        status, seen = await visitor.get(f"{path}?wait=5&mark={mark or 'none'}")
        assert status == 200, seen
        over = seen["settled"] if "settled" in seen else seen["state"] in _FINAL
        if over:
            return dict(seen)
        assert time.monotonic() < end, seen
        mark = seen["mark"]


_FINAL = ("done", "rejected", "expired", "cancelled", "lost")


async def until(condition: Any, within: float = 20.0) -> Any:
    """What an async condition gives once it gives something true."""
    end = time.monotonic() + within
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.05)
