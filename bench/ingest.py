"""How many reports a server acknowledges, each after its commit, beside the same app without a store."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.contest import Contender, Contest, Goal, Reading
from ots.remote import wire
from ots.signing.request import signed_headers
from ots.store.document import encode
from tests.cloud_kit import HandAgent
from tests.peers.postgres import postgres_server
from tests.unit.sample_reports import quick_ping

_SENDERS = 64
_REPORTS = 3_000
_SAMPLES = 370
"""Round trips in a report, so that it has 10 kB."""

_PATIENCE_MS = 100.0
_NUMBERS = itertools.count(1)
_NO_STORE, _SQLITE, _POSTGRESQL = "no store", "ots: SQLite", "ots: PostgreSQL"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and an agent that is enrolled there."""

    host: str
    port: int
    pid: int
    agent: HandAgent


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ots-ingest-")))
        folder.chmod(0o755)
        (folder / "postgres").mkdir(mode=0o777)
        postgres = stack.enter_context(postgres_server(folder / "postgres", durable=True))
        servers = {
            _NO_STORE: stack.enter_context(_server(folder / "none", "none")),
            _SQLITE: stack.enter_context(_server(folder / "sqlite", None)),
            _POSTGRESQL: stack.enter_context(
                _server(folder / "postgresql", stack.enter_context(postgres.database()))
            ),
        }
        latencies: dict[str, float] = {}
        work = (
            f"{_REPORTS} reports of 10 kB, gzip, from {_SENDERS} senders that keep their connections; each "
            "is signed by its agent, checked, and answered with a signed receipt after its commit. One "
            "process serves; sender and database are on the same two cores."
        )
        yield [
            Contest(
                area="Reports taken in",
                work=work,
                unit="reports/s",
                contenders=[
                    Contender(name, lambda name=name: _send(servers[name], latencies, name))  # type: ignore[misc]
                    for name in servers
                ],
                goals=[
                    Goal(0.6, "at least", _NO_STORE, ours=_SQLITE),
                    Goal(0.4, "at least", _NO_STORE, ours=_POSTGRESQL),
                ],
            ),
            Contest(
                area=f"Receipt of a report, {_SENDERS} at once, 99th percentile",
                work=work,
                unit="ms",
                contenders=[
                    Contender(name, lambda name=name: _latency(servers[name], name))  # type: ignore[misc]
                    for name in (_SQLITE, _POSTGRESQL)
                ],
                goals=[
                    Goal(_PATIENCE_MS, "at most", ours=_SQLITE),
                    Goal(_PATIENCE_MS, "at most", ours=_POSTGRESQL),
                ],
            ),
        ]


@contextmanager
def _server(folder: Path, url: str | None) -> Iterator[Server]:
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.ingest_server", str(folder), *([url] if url else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        agent = HandAgent(f"http://{said['host']}:{said['port']}")
        asyncio.run(_enrol(agent, said["token"]))
        yield Server(said["host"], said["port"], process.pid, agent)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


async def _enrol(agent: HandAgent, token: str) -> None:
    async with aiohttp.ClientSession() as session:
        status, answer = await agent.enrol(session, token)
    if status != 201:
        raise RuntimeError(f"not enrolled: {answer}")


def _send(server: Server, latencies: dict[str, float], name: str) -> Reading:
    """Sends everything once; the requests are made before, as agents make theirs elsewhere."""
    requests = _requests(server)
    cpu = cpu_of(server.pid)
    start = time.perf_counter()
    times = asyncio.run(_send_all(server, requests))
    seconds = time.perf_counter() - start
    times.sort()
    latencies[name] = times[int(len(times) * 0.99)] * 1e3
    return Reading(len(requests) / seconds, (cpu_of(server.pid) - cpu) / len(requests) * 1e3)


def _latency(server: Server, name: str) -> Reading:
    latencies: dict[str, float] = {}
    reading = _send(server, latencies, name)
    return Reading(latencies[name], reading.cpu)


def _requests(server: Server) -> list[bytes]:
    """Whole requests, header and body, each of another report."""
    agent, made = server.agent, []
    template = quick_ping(_SAMPLES, ())
    report = agent.report(steps=template.steps, case=template.case, contexts=template.contexts, scores=[])
    for number in itertools.islice(_NUMBERS, _REPORTS):
        report.report_id, report.seq = str(uuid.uuid4()), number
        document = encode(report)
        body = gzip.compress(document, 6)
        path = f"/api/v1/agent/reports/{report.report_id}/{report.revision}"
        headers = {
            "Host": f"{server.host}:{server.port}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Content-Length": str(len(body)),
            wire.SIGNATURE_HEADER: agent.signature(report, document),
            **signed_headers(
                "PUT", path, "", body, key=agent.key, key_id=agent.agent_id, created=int(time.time())
            ),
        }
        lines = [f"PUT {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        made.append("\r\n".join(lines).encode() + body)
    return made


async def _send_all(server: Server, requests: list[bytes]) -> list[float]:
    waiting = iter(requests)
    times: list[float] = []

    async def send() -> None:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for request in waiting:
            start = time.perf_counter()
            writer.write(request)
            header = await reader.readuntil(b"\r\n\r\n")
            length = int(header.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            times.append(time.perf_counter() - start)
            if not header.startswith(b"HTTP/1.1 201"):
                raise RuntimeError(f"{header[:40]!r} {answer[:300]!r}")
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(_SENDERS):
            group.create_task(send())
    return times


def cpu_of(pid: int) -> float:
    """CPU seconds of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
