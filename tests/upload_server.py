"""A small honest server of uploads that can be told to misbehave.

It checks every signature, really keeps what it gets, and signs receipts. It answers one report after the
other by a list of faults; without one, honestly.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.clock import rfc3339
from ots.remote import wire
from ots.signing.keys import key_id, read_public, write_public
from ots.signing.request import RequestRefused, promised_digest, prove, read_claim
from ots.signing.statement import sign, verify

Honest = Callable[[], Awaitable[web.StreamResponse]]
Fault = Callable[["UploadServer", web.Request, Honest], Awaitable[web.StreamResponse]]


@dataclass
class UploadServer:
    """What it was told and has kept.

    `faults` are used up by reports, `artifact_faults` by the files beside them; `clock` is added to the time.
    """

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    server_id: str = "3f1c9d5e-0000-4000-8000-000000000001"
    status: wire.AgentStatus = "active"
    clock: float = 0.0
    interval: float = 0.0
    name: str = "small server"
    licence: str | None = None
    faults: list[Fault] = field(default_factory=list)
    artifact_faults: list[Fault] = field(default_factory=list)
    url: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    reports: dict[tuple[str, int], bytes] = field(default_factory=dict)
    receipts: dict[tuple[str, int], str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    gaps: dict[str, wire.Gap] = field(default_factory=dict)
    infos: list[wire.AgentInfo] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    proxied: list[str | None] = field(default_factory=list)

    def sequence(self) -> list[int]:
        """The numbers of the reports in the order in which they came."""
        return [msgspec.json.decode(body)["seq"] for body in self.reports.values()]

    def receipt(self, **claims: Any) -> str:
        """A receipt of this server for whatever is claimed."""
        return sign({"received_at": rfc3339(time.time()), "server_id": self.server_id, **claims},
                    wire.RECEIPT, self.key)  # fmt: skip

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request: by the next fault if it brings a report, else honestly."""
        body = await request.read()
        self.asked.append(f"{request.method} {request.path}")
        self.bodies.append(body)
        self.proxied.append(request.headers.get("Proxy-Authorization"))

        async def honest() -> web.StreamResponse:
            return self._honest(request, body)

        kind = request.path.removeprefix("/api/v1/agent/").partition("/")[0]
        faults = {"reports": self.faults, "artifacts": self.artifact_faults}.get(kind)
        if faults:
            return await faults.pop(0)(self, request, honest)
        return await honest()

    def _honest(self, request: web.Request, body: bytes) -> web.Response:
        document = _plain(request, body)
        what = request.path.removeprefix("/api/v1")
        if what == "/agents":
            wish = msgspec.json.decode(document, type=wire.Enrol)
            self.keys[wish.agent_id] = wish.public_key
        try:
            claim = read_claim(request.headers)
            key = read_public(self.keys[claim.key_id])
            prove(claim, request.method, request.rel_url.raw_path, request.query_string,
                  request.headers, key=key, now=time.time() + self.clock)  # fmt: skip
            promised = promised_digest(claim, request.headers)
        except RequestRefused as refused:
            return problem(401, refused.code, clock=self.clock)
        assert promised == (hashlib.sha256(body).digest() if body else None)
        if what in ("/agents", "/agent"):
            return _json(201, self._enrolled(claim.key_id))
        if what == "/agent/info":
            self.infos.append(msgspec.json.decode(document, type=wire.AgentInfo))
            return web.Response(status=204)
        if what in ("/agent/licence", "/agent/content"):
            return problem(404, "not-found")
        _nothing, _agent, kind, name, *rest = what.split("/")
        if kind == "gaps":
            self.gaps[name] = msgspec.json.decode(document, type=wire.Gap)
            return web.Response(status=201)
        if kind == "artifacts":
            assert hashlib.sha256(document).hexdigest() == name
            self.artifacts[name] = document
            return web.Response(status=201)
        assert kind == "reports"
        return self._keep(request, claim.key_id, (name, int(rest[0])), document)

    def _keep(
        self, request: web.Request, agent_id: str, where: tuple[str, int], document: bytes
    ) -> web.Response:
        key = read_public(self.keys[agent_id])
        said = verify(request.headers[wire.SIGNATURE_HEADER], wire.REPORT, {key_id(key): key})
        digest = hashlib.sha256(document).hexdigest()
        assert (said["sha256"], said["size"], said["agent_id"]) == (digest, len(document), agent_id)
        known = self.reports.get(where)
        if known is not None and known != document:
            return problem(409, "revision-conflict")
        if known is None:
            self.reports[where] = document
            self.receipts[where] = self.receipt(
                agent_id=agent_id, report_id=where[0], revision=where[1], sha256=digest
            )
        named = [
            entry["sha256"] for step in msgspec.json.decode(document)["steps"] for entry in step["artifacts"]
        ]
        missing = [name for name in named if name not in self.artifacts]
        stored = wire.Stored(receipt=self.receipts[where], missing_artifacts=missing)
        return _json(200 if known else 201, stored)

    def _enrolled(self, agent_id: str) -> wire.Enrolled:
        return wire.Enrolled(
            agent_id=agent_id,
            status=self.status,
            server_id=self.server_id,
            server_name=self.name,
            server_time=rfc3339(time.time() + self.clock),
            keys=wire.ServerKeys(receipt=[write_public(self.key.public_key())], licence=["issuer"]),
            licence=self.licence,
            upload_interval=self.interval,
        )


@contextmanager
def upload_server(server: UploadServer | None = None, port: int = 0) -> Iterator[UploadServer]:
    """Serves on loopback, by a thread with an event loop of its own, for as long as the block lasts."""
    server = server or UploadServer()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{anything:.*}", server.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def end(runner: web.AppRunner) -> None:
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(end(runner), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def problem(status: int, code: str, *, retry_after: float | None = None, clock: float = 0.0) -> web.Response:
    """The server's own word that it refuses."""
    body = wire.Problem(type=f"urn:ots:problem:{code}", title=code, status=status, code=code)
    headers = {"Date": formatdate(time.time() + clock, usegmt=True)}
    if retry_after is not None:
        headers["Retry-After"] = f"{retry_after:.0f}"
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        headers=headers,
        content_type="application/problem+json",
    )


def refuse(status: int, code: str, retry_after: float | None = None) -> Fault:
    """Refuses without keeping anything."""

    async def fault(_server: UploadServer, _request: web.Request, _honest: Honest) -> web.StreamResponse:
        return problem(status, code, retry_after=retry_after)

    return fault


def say(status: int, body: bytes, **headers: str) -> Fault:
    """Answers like something that is no OTS server; `Content_Type` means the header Content-Type."""

    async def fault(_server: UploadServer, _request: web.Request, _honest: Honest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return fault


def _plain(request: web.Request, body: bytes) -> bytes:
    return gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body


def _json(status: int, message: msgspec.Struct) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(message), content_type="application/json")
