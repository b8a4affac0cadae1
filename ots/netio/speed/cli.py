"""speedtest-cli as a service: the program measures by its own method, in a process of its own.

Its rates hold its start, and its uploads count what was handed to the kernel: `method.speed_method` says so,
and confidence is low. To know what a line carries, load the same server with protocol `mini`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ots.netio.speed.load import Load, Told
from ots.netio.speed.server import base_of
from ots.netio.speed.service import Service, Visit
from ots.probe import Failed

DEFAULT_THREADS = 8
_START = 20.0
_BEYOND = 10.0
"""Seconds that the program may take beyond the time that it was given: it ends requests that it began."""


class CLIService(Service):
    """A Speedtest Mini server, measured by speedtest-cli."""

    protocol = "speedtest_cli"

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._child: asyncio.subprocess.Process | None = None
        self._latency: float | None = None

    async def open(self) -> None:
        params = self.visit.params
        if params.interface is not None:
            raise Failed("config", "config", "INTERFACE", "speedtest-cli can't be bound to an interface")
        if self.visit.ctx.net.guard is not None:
            self.visit.ctx.net.guard.unwatched("speedtest-cli")
        own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ots.netio.speed.cli_child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**own, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,
        )
        threads = DEFAULT_THREADS if params.connections == "auto" else params.connections
        await self._tell(
            msgspec.json.encode(
                {
                    "url": str(base_of(self.visit.target)),
                    "source": params.source,
                    "timeout": params.timeout,
                    "duration": params.duration,
                    "connections": threads,
                }
            )
        )
        said = await self._hear(_START + 3 * params.timeout)
        if "ready" not in said:
            code = str(said.get("failed", "FAILED"))
            raise Failed("connect", "connect", code, str(said.get("message", "speedtest-cli failed"))[:200])
        self._latency = said.get("latency")
        self.visit.ctx.method(speed_method="speedtest_cli")

    async def round_trips(self, count: int, interval: float) -> AsyncIterator[float]:
        """The one figure that the program has: half the mean of three requests on new connections."""
        if self._latency is not None:
            yield self._latency

    async def download(self, load: Load) -> None:
        await self._run(load, "download")

    async def upload(self, load: Load) -> None:
        load.counted_at = "handed_over"
        await self._run(load, "upload")

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()

    async def _run(self, load: Load, way: str) -> None:
        params, ctx = self.visit.params, self.visit.ctx
        threads = DEFAULT_THREADS if params.connections == "auto" else params.connections
        load.fix(threads)
        await self._tell(way.encode())
        end = ctx.clock.monotonic() + params.duration + params.stall_limit + _BEYOND
        booked = 0
        while True:
            said = await self._hear(end - ctx.clock.monotonic())
            count = int(said.get("bytes") or 0)
            more = max(0, count - booked)
            booked += more
            if way == "download":
                ctx.budget.spend(received=more)
            else:
                ctx.budget.spend(sent=more)
            ctx.progress(None, f"{load.arrow} {count / 1e6:.3g} MB")
            if "done" in said:
                break
        refused = int(said.get("refused") or 0)
        if refused:
            raise Failed("rejected", "transfer", str(refused), f"the server answered {refused}")
        if not count:
            raise Failed("content", "transfer", "NOTHING_MOVED", "speedtest-cli moved nothing")
        load.told = Told(float(said["done"]), count, threads)
        load.stop_reason = "end_of_test"
        load.complete = True

    async def _tell(self, line: bytes) -> None:
        assert self._child is not None and self._child.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._child.stdin.write(line + b"\n")
            await self._child.stdin.drain()

    async def _hear(self, patience: float) -> dict[str, Any]:
        assert self._child is not None and self._child.stdout is not None
        try:
            async with asyncio.timeout(max(0.0, patience)):
                line = await self._child.stdout.readline()
        except TimeoutError:
            raise Failed("timeout", "transfer", "TIMEOUT", "speedtest-cli did not come to an end") from None
        if not line:
            raise Failed("internal", "transfer", "ENDED", "speedtest-cli ended without a result")
        said = msgspec.json.decode(line)
        return said if isinstance(said, dict) else {}
