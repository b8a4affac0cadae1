"""The process of one run (`ots.agent.work`), from its start to its end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ots.agent.order import Order

log = logging.getLogger("ots.agent")

GRACE = 20.0
"""Seconds that a run has to end after it was told to; then its process is killed."""

ADMITTING = 60.0
"""Seconds that a run has at most until it is admitted: hosts may be asked whether they agree to a load."""

_MOST_LINE = 1 << 16

Progressed = Callable[[str | None, float | None, str], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended. `interrupted`: it died without a word, and the store closes its report."""

    state: Literal["finished", "refused", "interrupted"]
    report_id: str | None = None
    verdict: str | None = None
    reason: str | None = None
    moved: int = 0


class Child:
    """One run's process. `run` may be awaited once; the other calls may come at any time."""

    def __init__(self, order: Order, grace: float = GRACE) -> None:
        self._order = order
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None
        self._told = asyncio.Event()
        self._report_id: str | None = None
        self._finished: Finished | None = None
        self._overdue: str | None = None
        self._limit: asyncio.Timeout | None = None
        self._longest = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def interrupt(self) -> None:
        """Tells it to end with what it has; if it doesn't, it is killed after a while."""
        self._told.set()
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """Ends it at once."""
        self._send(signal.SIGKILL)

    async def run(self, longest: float, progressed: Progressed) -> Finished:
        """Starts it and waits for its end, for `longest` seconds from when it may begin. Raises OSError if it
        can't be started."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ots.agent.work",
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MOST_LINE,
            process_group=0,
        )
        self._longest = longest
        watching = asyncio.create_task(self._watch(), name="run's time limit")
        try:
            if self._told.is_set():
                self._send(signal.SIGINT)
            await asyncio.gather(self._hand_over(), self._listen(progressed))
            code = await self._process.wait()
        finally:
            watching.cancel()
            self.kill()  # if this was cancelled
            await asyncio.gather(watching, return_exceptions=True)
        return self._came_to(code)

    def _came_to(self, code: int) -> Finished:
        if self._finished is not None:
            return self._finished
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
        reason = self._overdue or f"its process ended without a word ({how})"
        return Finished("interrupted", self._report_id, reason=reason)

    async def _hand_over(self) -> None:
        """The order goes in and the pipe is closed."""
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(self._order))
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # it has ended already; its end says why
        finally:
            process.stdin.close()

    async def _listen(self, progressed: Progressed) -> None:
        assert self._process is not None and self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:
                log.warning("A line of a run is too long and is left out")
                continue
            if not line:
                return
            try:
                self._heard(json.loads(line), progressed)
            except (ValueError, TypeError, KeyError, AttributeError):
                log.warning("A line of a run can't be read: %.200r", line)

    def _heard(self, event: dict[str, Any], progressed: Progressed) -> None:
        kind = event["event"]
        if kind == "started":
            self._report_id = event["report_id"]
        elif kind == "admitted":
            self._count_from(float(event["delay"]))
        elif kind == "progress":
            progressed(event["step"], event["fraction"], event["text"])
        elif kind == "ended":
            self._finished = Finished(
                event["state"],
                event.get("report_id"),
                event.get("verdict"),
                self._overdue or event.get("reason"),
                event.get("bytes", 0),
            )

    def _count_from(self, delay: float) -> None:
        """Its time begins when it may measure, `delay` seconds from now."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + delay + self._longest)

    async def _watch(self) -> None:
        """Ends what takes too long, and kills what does not end when it is told to."""
        try:
            async with asyncio.timeout(ADMITTING + self._longest) as self._limit:
                await self._told.wait()
        except TimeoutError:
            self._overdue = f"it took longer than {self._longest:g} s"
            self._send(signal.SIGINT)
        await asyncio.sleep(self._grace)
        self._overdue = f"{self._overdue or 'it was stopped'}, and did not end in {self._grace:g} s"
        self.kill()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            try:
                self._process.send_signal(number)
            except ProcessLookupError:
                return
