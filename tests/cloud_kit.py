"""A cloud server as a process of its own, on SQLite or PostgreSQL, and an agent that speaks to it by hand."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import http.cookies
import io
import json
import os
import selectors
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.model.report import Report
from ots.remote import wire
from ots.server.database.database import open_database
from ots.server.first_start import default_database
from ots.server.identity.tokens import TokenWish, create_token
from ots.signing.keys import write_public
from ots.signing.request import signed_headers
from ots.signing.statement import sign
from ots.store.document import encode
from tests.peers.process import end
from tests.server_database import CHOSEN, chosen, named, processes
from tests.unit.sample_reports import office

ROOT = Path(__file__).parents[1]
START_LIMIT = 60.0


@dataclass
class CloudServer:
    """A running server: its address, its folder, its first account, and how to start it again."""

    folder: Path
    database: str | None
    url: str
    first: dict[str, str] | None
    peers: Sequence[str]
    process: subprocess.Popen[bytes] = field(repr=False)
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def open_token(self, department: str = "571", project: str = "HZ-12") -> str:
        """A token for any number of agents, made once and without a command, which would cost a second."""
        name = f"{department}/{project}"
        if name not in self._tokens:
            wish = TokenWish(department=department, project=project, max_uses=100_000)
            with ThreadPoolExecutor(1) as beside:  # this thread may run a loop
                self._tokens[name] = beside.submit(asyncio.run, self._make_token(wish)).result()
        return self._tokens[name]

    async def _make_token(self, wish: TokenWish) -> str:
        database = open_database(self.address)
        try:
            return await create_token(database, wish, actor="test", now=time.time())
        finally:
            await database.close()

    @property
    def address(self) -> str:
        """The URL of its database."""
        return self.database or default_database(self.folder)

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def token(self, *options: str) -> str:
        """A new enrolment token, as `ots server token create` makes it."""
        done = subprocess.run(
            [sys.executable, "cli.py", "server", "token", "create", "--data", str(self.folder), *options],
            cwd=ROOT,
            env={**os.environ, **named(self.database)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextlib.contextmanager
def cloud_server(
    folder: Path,
    database: str | None = CHOSEN,
    *,
    options: Sequence[str] = (),
    port: int = 0,
    env: Mapping[str, str] | None = None,
) -> Iterator[CloudServer]:
    """Runs `ots server run` for as long as the block lasts.

    `database` is an address, None for SQLite in the folder, or CHOSEN: then OTS_TEST_DATABASE says which, and
    how many processes serve unless `options` do.
    """
    if database == CHOSEN:
        database, options = chosen.database(folder), [*processes(chosen.kind), *options]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stderr.log").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "cli.py", "server", "run", "--json"]
            + ["--data", str(folder), "--listen", f"127.0.0.1:{port}", *options],
            cwd=ROOT,
            env={**os.environ, **named(database), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        document = _first_words(process, folder)
        yield CloudServer(
            folder, database, document["urls"][0], document["first_account"], document["peers"], process
        )
    finally:
        end(process, grace=15)
        assert process.stdout is not None
        process.stdout.close()


def _first_words(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """The JSON document that says where it listens."""
    assert process.stdout is not None
    text = b""
    deadline = time.monotonic() + START_LIMIT
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            part = os.read(process.stdout.fileno(), 65_536) if ready else b""
            text += part
            with contextlib.suppress(json.JSONDecodeError):
                found: dict[str, Any] = json.loads(text)
                return found
            if not part:
                said = (folder / "stderr.log").read_text(errors="replace")
                raise RuntimeError(f"the server did not start: {text!r}\n{said[-4000:]}")


@dataclass
class HandAgent:
    """An agent without the agent's code: it says exactly what a test wants it to say."""

    url: str
    agent_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    skew: int = 0

    async def enrol(self, session: aiohttp.ClientSession, token: str, **changes: Any) -> tuple[int, Any]:
        wish = wire.Enrol(
            token=token,
            agent_id=self.agent_id,
            public_key=write_public(self.key.public_key()),
            name="van-3",
            version="0.1.0",
        )
        body = msgspec.json.encode(msgspec.structs.replace(wish, **changes))
        return await self.send(session, "POST", "/api/v1/agents", body)

    async def upload(
        self, session: aiohttp.ClientSession, report: Report, *, packed: bool = True, **changes: Any
    ) -> tuple[int, Any]:
        """Uploads a report; `changes` replace fields of the claim that it is signed with."""
        document = encode(report)
        return await self.send(
            session,
            "PUT",
            f"/api/v1/agent/reports/{report.report_id}/{report.revision}",
            gzip.compress(document, 6) if packed else document,
            {
                wire.SIGNATURE_HEADER: self.signature(report, document, **changes),
                **({"Content-Encoding": "gzip"} if packed else {}),
            },
        )

    def signature(self, report: Report, document: bytes, **changes: Any) -> str:
        claim = wire.ReportClaim(
            agent_id=self.agent_id,
            report_id=report.report_id,
            revision=report.revision,
            seq=report.seq,
            sha256=hashlib.sha256(document).hexdigest(),
            size=len(document),
        )
        return sign(msgspec.to_builtins(msgspec.structs.replace(claim, **changes)), wire.REPORT, self.key)

    def report(self, seq: int = 1, **changes: Any) -> Report:
        """A report of this agent; every call makes another."""
        document = office()
        document.report_id = str(uuid.uuid4())
        document.seq = seq
        document.agent = {**document.agent, "agent_id": self.agent_id}
        for name, value in changes.items():
            setattr(document, name, value)
        return document

    async def send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        media_type: str = "application/json",
    ) -> tuple[int, Any]:
        """Sends a signed request; returns the status and the JSON of the answer, None if it has none."""
        signed = signed_headers(
            method,
            path,
            "",
            body,
            key=self.key,
            key_id=self.agent_id,
            created=int(time.time()) + self.skew,
        )
        typed = {"Content-Type": media_type} if body else {}
        async with session.request(
            method,
            f"{self.url}{path}",
            data=io.BytesIO(body) if body else None,
            headers={**typed, **signed, **(headers or {})},
        ) as response:
            text = await response.read()
            return response.status, json.loads(text) if text else None


@dataclass
class Visitor:
    """A person's browser, as far as the interface knows one: a cookie jar and the page's token."""

    url: str
    session: aiohttp.ClientSession
    csrf: str = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, url: str) -> AsyncIterator[Visitor]:
        # The jar refuses cookies of bare addresses unless it is told not to.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            yield cls(url, session)

    async def log_in(self, name: str, password: str) -> tuple[int, Any]:
        status, answer = await self.send("POST", "/api/v1/session", {"name": name, "password": password})
        self.csrf = answer.get("csrf") or ""
        return status, answer

    def cookies(self) -> dict[str, http.cookies.Morsel[str]]:
        """What the server set, with its flags."""
        return {cookie.key: cookie for cookie in self.session.cookie_jar}

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.send("GET", path)

    async def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        changing = {} if method == "GET" else {"X-CSRF-Token": self.csrf}
        async with self.session.request(
            method, f"{self.url}{path}", json=body, headers={**changing, **(headers or {})}
        ) as response:
            text = await response.read()
            return response.status, json.loads(text) if text else None


ADMIN_PASSWORD = "correct horse battery"


@contextlib.asynccontextmanager
async def administrator(cloud: CloudServer) -> AsyncIterator[Visitor]:
    """The server's first account, logged in; its one-time password is changed at the first time."""
    assert cloud.first is not None
    async with Visitor.at(cloud.url) as visitor:
        if (await visitor.log_in(cloud.first["name"], ADMIN_PASSWORD))[0] != 200:
            status, me = await visitor.log_in(cloud.first["name"], cloud.first["password"])
            assert status == 200 and me["must_change_password"], me
            status, problem = await visitor.get("/api/v1/agents")
            assert (status, problem["code"]) == (403, "password-must-change")
            change = {"present": cloud.first["password"], "new": ADMIN_PASSWORD}
            assert (await visitor.send("PUT", "/api/v1/session/password", change))[0] == 204
        yield visitor
