"""Tells of what did not run: each reason once in a while, and also after a disk that was full."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ots.agent import unrun
from ots.agent.ledger import Entry
from ots.agent.order import Order
from ots.config import Settings
from ots.schedule.placing import Placement
from ots.store import Store

log = logging.getLogger("ots.agent")

_MOST = 500
"""Reports that wait in memory for room on the disk."""

_SAME_AGAIN = 3600.0
"""Seconds after which a schedule that does not run for the same reason as before is reported anew."""


@dataclass(frozen=True, slots=True)
class Unrun:
    """An order that did not run; `what` is missed, skipped, refused or interrupted. One of `count` that were
    planned until `until`."""

    order: Order
    what: str
    reason: str
    count: int = 1
    until: float | None = None


class Backlog:
    """Reports that are still to be written, the oldest first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: deque[Unrun] = deque(maxlen=_MOST)
        self._told: dict[str, tuple[str, float]] = {}

    def add(self, found: Unrun) -> None:
        """It is written with the next ones."""
        self._waiting.append(found)

    async def note(self, found: Unrun) -> None:
        """Stores its report, at once or when the disk takes it again."""
        self.add(found)
        await self.write()

    async def write(self) -> None:
        """Stores what waits, as far as the disk takes it."""
        if self._waiting:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        while self._waiting:
            found = self._waiting[0]
            stored = unrun.record(
                found.order, found.what, found.reason, self._settings, count=found.count, until=found.until
            )
            if stored is None:
                return
            self._waiting.popleft()

    def ran(self, schedule_id: str) -> None:
        """Whatever keeps the schedule from running next is news again."""
        self._told.pop(schedule_id, None)

    def is_news(self, placement: Placement) -> bool:
        """Whether this reason is another one than the last, or was not told of for long."""
        code, told = self._told.get(placement.schedule_id, ("", 0.0))
        if code == placement.code and abs(time.time() - told) < _SAME_AGAIN:
            return False
        self._told[placement.schedule_id] = (placement.code, time.time())
        log.warning("%s: %s, %s", placement.schedule_id, placement.decision, placement.reason)
        return True

    async def cut_off(self, entries: Sequence[Entry]) -> None:
        """The runs that were cut off when the agent before died; some have left a part of a report.

        Raises StoreError.
        """
        reported = await asyncio.to_thread(self._reported)
        for entry in entries:
            if entry.order is not None and entry.order_id not in reported:
                self.add(Unrun(entry.order, "interrupted", "the agent ended while it ran"))
        await self.write()

    def _reported(self) -> set[str | None]:
        with Store.open(self._settings.data_dir) as store:
            return {store.report(entry).tags.get("ots.order") for entry in store.list(limit=50)}
