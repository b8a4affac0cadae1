"""The loading process as its parent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

import ots
from ots.netio.responsiveness.order import NOTHING, Order, Standing
from ots.probe import Failed

_END_LIMIT = 0.5


class Load:
    """A running load. `now` is how it stood last, `history` all reports since the start."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.now: Standing = NOTHING
        self.history: list[Standing] = []
        self.connections = 0
        self.ended = False

    def add(self) -> None:
        """Opens one more connection."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(b"add\n")
        self.connections += 1

    @property
    def failure(self) -> Failed | None:
        """What the first connection that failed failed with."""
        if not self.now.failures:
            return None
        error = self.now.failures[0]
        return Failed(
            error.class_,
            error.phase,
            error.code,
            error.message,
            retryable=error.retryable,
            remedy=error.remedy,
        )

    def bytes_at(self, t: float) -> float:
        """Bytes moved until `t`, between two reports in proportion."""
        before = NOTHING
        for standing in self.history:
            if standing.t >= t:
                if before is NOTHING or standing.t == before.t:
                    return float(standing.bytes)
                share = (t - before.t) / (standing.t - before.t)
                return before.bytes + share * (standing.bytes - before.bytes)
            before = standing
        return float(before.bytes)

    async def listen(self) -> None:
        """Takes the reports until the process ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.now = msgspec.json.decode(line, type=Standing)
            self.history.append(self.now)
        self.ended = True


def _environment() -> dict[str, str]:
    """Ours, and first of all the folder where this very `ots` was found: a checkout isn't installed."""
    home = str(Path(ots.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{known}" if known else home}


@contextlib.asynccontextmanager
async def loading(order: Order) -> AsyncIterator[Load]:
    """Runs the loading process for as long as the context is open; it has no connection yet."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ots.netio.responsiveness.load_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
        # Ctrl-C belongs to us: the child ends when its standard input does.
        start_new_session=True,
    )
    load = Load(process)
    listener = asyncio.create_task(load.listen())
    orders = process.stdin
    assert orders is not None
    try:
        orders.write(msgspec.json.encode(order) + b"\n")
        yield load
    finally:
        with contextlib.suppress(ConnectionError):
            orders.close()
        try:
            async with asyncio.timeout(_END_LIMIT):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await listener
