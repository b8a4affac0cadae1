"""The duties that need nothing but the agent itself: ping, status, hold, release, diagnose."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ots import __version__
from ots.agent.diagnosis import diagnosis
from ots.agent.diagnosis_report import store_diagnosis
from ots.agent.duties import Declined, Duties
from ots.agent.log_tail import LogTail
from ots.clock import rfc3339
from ots.config import settings
from ots.remote.control_wire import Command
from ots.session import hold
from ots.store import StoreError

log = logging.getLogger("ots.agent")


class Holdable(Protocol):
    """Whoever runs orders: told when a hold was placed or lifted."""

    async def hold(self) -> None: ...
    def release(self) -> object: ...


class BasicDuties:
    """The duties of the agent in one data folder."""

    def __init__(self, folder: Path, runs: Holdable, tail: LogTail) -> None:
        self._folder = folder
        self._runs = runs
        self._tail = tail
        self._begun = time.monotonic()
        self.on_report: Callable[[], None] = lambda: None

    def register(self, duties: Duties) -> None:
        duties.register("ping", self._ping)
        duties.register("status", self._status)
        duties.register("hold", self._hold)
        duties.register("release", self._release)
        duties.register("diagnose", self._diagnose)

    async def _ping(self, _command: Command) -> Any:
        return {"time": rfc3339(time.time())}

    async def _status(self, _command: Command) -> Any:
        held = hold.held(self._folder)
        return {
            "time": rfc3339(time.time()),
            "version": __version__,
            "running_seconds": round(time.monotonic() - self._begun, 3),
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "held": None if held is None else str(held),
        }

    async def _hold(self, command: Command) -> Any:
        """Placed as the server's hold; one of a person at this machine stands beside it."""
        reason = command.args.get("reason")
        said = reason if isinstance(reason, str) else command.issuer.user
        try:
            hold.place(self._folder, "remote", said, time.time())
        except OSError as error:
            raise Declined("not-written", str(error)) from None
        await self._runs.hold()
        return {"held": str(hold.held(self._folder))}

    async def _release(self, _command: Command) -> Any:
        """Lifts the server's own hold. Raises Declined where one of this machine stays."""
        try:
            left = hold.lift(self._folder, "remote")
        except OSError as error:
            raise Declined("not-written", str(error)) from None
        if left is not None:
            raise Declined("held-locally", str(left))
        self._runs.release()
        return {"held": None}

    async def _diagnose(self, _command: Command) -> Any:
        """The findings, and the id of the report that holds them; null where the store can't take one."""
        began, since = time.time(), time.monotonic()
        found = await diagnosis(self._tail)
        try:
            report_id = await asyncio.to_thread(
                store_diagnosis, found, began, time.monotonic() - since, settings()
            )
        except StoreError as error:
            log.error("the diagnosis is no report: %s", error)
            return {"report_id": None, **found}
        self.on_report()
        return {"report_id": report_id, **found}
