"""`python -m bench.scale [--write]`: what one server process carries, and what several on one PostgreSQL do.

Five thousand simulated agents (bench/scale_agents.py), the servers (bench/scale_server.py) and the database
share this machine's processors. With `--write` the figures become docs/scale.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.ingest import cpu_of
from bench.scale_agents import AT_ONCE, Crowd
from bench.scale_page import Carried, Returned, page
from ots.signing.keys import load_or_make
from tests.peers.postgres import postgres_server

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
_IDLE = 20.0
_PINGS = 100
_WARM = 50
_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class Server:
    """One server process."""

    process: subprocess.Popen[bytes]
    port: int
    token: str

    def resident(self) -> int:
        """Its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    options.add_argument("--agents", type=int, default=5_000)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = options.parse_args()
    ids = [str(uuid.UUID(int=number + 1)) for number in range(asked.agents)]
    with tempfile.TemporaryDirectory(prefix="ots-scale-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "postgres").mkdir(mode=0o777)
        carried: list[Carried] = []
        with postgres_server(folder / "postgres", durable=True) as postgres:
            for title, processes, database in (
                ("one process, SQLite", 1, None),
                ("one process, PostgreSQL", 1, postgres),
                ("two processes, PostgreSQL", 2, postgres),
            ):
                place = folder / str(len(carried))
                place.mkdir()
                with contextlib.ExitStack() as stack:
                    url = None if database is None else stack.enter_context(database.database())
                    servers = [
                        stack.enter_context(serving(place, ids, "open", url)) for _ in range(processes)
                    ]
                    carried.append(asyncio.run(_carry(title, place, servers, ids)))
                print(carried[-1], flush=True)
            returned = asyncio.run(_return(folder / "0", ids))
            print(returned, flush=True)
    if asked.write:
        PAGE.write_text(page(asked.agents, carried, returned), "utf-8")
    return 0


@contextlib.contextmanager
def serving(folder: Path, ids: Sequence[str], way: str, url: str | None) -> Iterator[Server]:
    """A server process that knows these agents; `way` and `url` as bench/scale_server.py says."""
    command = [sys.executable, "-m", "bench.scale_server", str(folder), str(folder / "agents.key")]
    command += [str(len(ids)), way, *([url] if url else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Server(process, said["port"], said["token"])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(120)


async def _carry(title: str, folder: Path, servers: Sequence[Server], ids: Sequence[str]) -> Carried:
    """Lines, their memory and idle cost, and commands: one to everybody, and single ones."""
    key = load_or_make(folder / "agents.key")
    ports = [server.port for server in servers]
    warm = Crowd(key, ports, ids[:_WARM])
    await warm.open(0.0)
    await warm.all_there(_LIMIT)
    await warm.close()
    before = sum(server.resident() for server in servers)
    crowd = Crowd(key, ports, ids, AT_ONCE)
    begun = time.monotonic()
    await crowd.open(0.0)
    try:
        await crowd.all_there(_LIMIT)
        opening = time.monotonic() - begun
        await asyncio.sleep(5)
        memory = (sum(server.resident() for server in servers) - before) / len(ids)
        gc.collect()
        gc.freeze()  # this program's collector would go through its thousands of agents: half a second
        spent = sum(cpu_of(server.process.pid) for server in servers)
        await asyncio.sleep(_IDLE)
        idle = (sum(cpu_of(server.process.pid) for server in servers) - spent) / _IDLE
        latencies = await _ping(servers, crowd, ids)
        made, delivered, noted = await _run_everywhere(servers[0], crowd, ids)
    finally:
        await crowd.close()
        gc.unfreeze()
    latencies.sort()
    return Carried(
        title=title,
        agents=len(ids),
        opened_per_second=len(ids) / opening,
        kib_per_agent=memory / 1024,
        idle_cpu=idle,
        ping_median=statistics.median(latencies),
        ping_p99=latencies[int(len(latencies) * 0.99)],
        commands_made=made,
        commands_per_second=len(ids) / delivered,
        settled_per_second=len(ids) / noted,
    )


async def _ping(servers: Sequence[Server], crowd: Crowd, ids: Sequence[str]) -> list[float]:
    """Seconds from a person's request to its arrival at the agent, while all lines are open. The requests
    go to the last process, the agents are spread over all."""
    found = []
    async with person(servers[-1]) as manager:
        for agent_id in ids[:: max(1, len(ids) // _PINGS)]:
            crowd.delivered.pop(agent_id, None)
            begun = time.monotonic()
            async with manager.post(f"/api/v1/agents/{agent_id}/commands", json={"kind": "ping"}) as answer:
                await _created(answer)
            await crowd.until(lambda agent_id=agent_id: agent_id in crowd.delivered, 60)  # type: ignore[misc]
            found.append(crowd.delivered[agent_id] - begun)
    return found


async def _run_everywhere(server: Server, crowd: Crowd, ids: Sequence[str]) -> tuple[float, float, float]:
    """Seconds until a run of all agents was made, had reached the last of them, and was settled."""
    crowd.delivered.clear()
    noted = crowd.noted
    wish = {"on": {"everything": True}, "run": {"case": "broadband"}, "expires_in": 600}
    async with person(server) as manager:
        begun = time.monotonic()
        async with manager.post("/api/v1/group-runs", json=wish) as answer:
            await _created(answer)
        made = time.monotonic() - begun
        await crowd.until(lambda: crowd.noted - noted >= len(ids), _LIMIT)
        settled = time.monotonic() - begun
    return made, max(crowd.delivered.values()) - begun, settled


async def _return(folder: Path, ids: Sequence[str]) -> Returned:
    """All agents come back to a server that has just started, by their own rule and its usual admission."""
    crowd = Crowd(load_or_make(folder / "agents.key"), [], ids)
    with serving(folder, ids, "usual", None) as server:
        crowd.ports = [server.port]
        before = server.resident()
        begun = time.monotonic()
        await crowd.open(30.0)
        try:
            await crowd.all_there(_LIMIT)
            await asyncio.sleep(5)
            memory = (server.resident() - before) / len(ids)
        finally:
            await crowd.close()
        moments = sorted(crowd.first.values())
        crowd.took.sort()
    return Returned(
        agents=len(ids),
        half=moments[len(moments) // 2] - begun,
        all=moments[-1] - begun,
        turned_away=crowd.turned_away,
        took_p99=crowd.took[int(len(crowd.took) * 0.99)],
        kib_per_agent=memory / 1024,
    )


def person(server: Server) -> aiohttp.ClientSession:
    """A manager's session there."""
    return aiohttp.ClientSession(
        f"http://127.0.0.1:{server.port}", headers={"Authorization": f"Bearer {server.token}"}
    )


async def _created(answer: aiohttp.ClientResponse) -> Any:
    said = await answer.json()
    if answer.status != 201:
        raise RuntimeError(f"{answer.status}: {said}")
    return said


if __name__ == "__main__":
    sys.exit(main())
