"""The cloud server of `ots demo`: a process of its own on loopback, and its first administrator.

`python -m ots.commands.demo_server FOLDER PARENT` serves until SIGTERM, or until the process PARENT is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from ots.server.peers.process import child_environment

START_LIMIT = 60.0
"""Seconds that the server may take until it listens; a slow machine imports for a while."""

_END_LIMIT = 10.0
_PATIENCE = aiohttp.ClientTimeout(total=30)
_PACKAGES = (
    *("aiosqlite", "alembic", "argon2", "prometheus_client", "re2", "segno", "sqlalchemy"),
    "websockets",
)
_PR_SET_PDEATHSIG = 1


class ServerFailed(Exception):
    """The server did not come up, or did not answer as it should; the message says why."""


def installed() -> bool:
    """Whether the packages of the extra `server` are there."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


@dataclass
class DemoServer:
    """A running server and its first administrator, logged in, whose password is `password` from now on."""

    url: str
    name: str
    password: str = field(repr=False)
    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession = field(repr=False)
    _csrf: str = field(default="", repr=False)

    async def move_in(self) -> None:
        """Logs in with the one-time password and chooses another, as every first administrator has to."""
        me = await self._ask("POST", "/api/v1/session", {"name": self.name, "password": self.password})
        self._csrf = me["csrf"]
        chosen = secrets.token_urlsafe(9)
        await self._ask("PUT", "/api/v1/session/password", {"present": self.password, "new": chosen})
        self.password = chosen

    async def token(self) -> str:
        """A token that enrols one agent."""
        wish = {"department": "571", "project": "demo", "note": "ots demo"}
        made: str = (await self._ask("POST", "/api/v1/enrolment-tokens", wish))["token"]
        return made

    async def page_of(self, agent_id: str, report_id: str) -> str:
        """The address of a report's page, once the page and the document on it were there. ServerFailed."""
        found = await self._ask("GET", f"/api/v1/reports?agent_id={agent_id}")
        numbers = [each["number"] for each in found["items"] if each["report_id"] == report_id]
        if not numbers:
            raise ServerFailed("the report is not on the server")
        path = f"/reports/{numbers[0]}"
        for part in (path, f"{path}/document"):
            await self._ask("GET", part)
        return self.url + path

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {} if method == "GET" else {"X-CSRF-Token": self._csrf}
        try:
            async with self.session.request(method, path, json=body, headers=headers) as response:
                text = await response.read()
                return json.loads(text) if response.content_type == "application/json" and text else None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServerFailed(f"{method} {path.partition('?')[0]}: {error}") from None


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[DemoServer]:
    """Runs a server with its data in a new folder for as long as the context is open. ServerFailed."""
    with _log_in_new(folder) as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ots.commands.demo_server",
            str(folder),
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            env=child_environment(),
            # Ctrl-C belongs to the one who started the server.
            start_new_session=True,
        )
    try:
        first = await _first_words(process, folder)
        async with aiohttp.ClientSession(
            first["url"],
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # else it takes no cookie of a bare address
            timeout=_PATIENCE,
            raise_for_status=True,
        ) as session:
            server = DemoServer(first["url"], first["name"], first["password"], process, session)
            await server.move_in()
            yield server
    finally:
        await _end(process)


def _log_in_new(folder: Path) -> BinaryIO:
    folder.mkdir(mode=0o700)
    return (folder / "server.log").open("wb")


async def _first_words(process: asyncio.subprocess.Process, folder: Path) -> dict[str, str]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT):
            line = await process.stdout.readline()
    except TimeoutError:
        raise ServerFailed(f"the cloud server did not listen within {START_LIMIT:g} s") from None
    if not line:
        said = (folder / "server.log").read_text("utf-8", "replace").strip()
        raise ServerFailed(said.rpartition("\n")[2] or "the cloud server ended at once")
    first: dict[str, str] = json.loads(line)
    return first


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the server as a service manager does, then insists."""
    for end in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_LIMIT):
                await process.wait()
                return


def _serve(folder: Path, parent: int) -> None:
    """Serves on a free port of loopback; the first line of stdout says where, and who may log in."""
    from ots.server.listening import Place
    from ots.server.run import Ready, Setup, run

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return

    def ready(started: Ready) -> None:
        first = started.first
        assert first is not None
        words = {"url": started.places[0].url, "name": first.name, "password": first.password}
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    run(Setup(folder=folder, places=[Place("127.0.0.1", 0)], name="OTS demo"), ready)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
