"""The duty `sync`: signed content is fetched when the server asks, and every six hours unasked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ots.content.held import read_attempt, read_source, stale_text
from ots.remote.content import SyncFailed, pause, sync

log = logging.getLogger("ots.agent")


class ContentDuty:
    """Keeps the signed content of a data folder fresh; `run` does so until it is cancelled."""

    def __init__(self, folder: Path, pause: Callable[[], float] = pause) -> None:
        self._folder = folder
        self._pause = pause
        self._asked = asyncio.Event()

    def soon(self) -> None:
        """Somebody hints that there is something new: `run` looks now."""
        self._asked.set()

    async def run(self) -> None:
        """Synchronises at once unless that was done lately, then every six hours, give or take a quarter."""
        wait = self._left(self._pause())
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            await fetch_content(self._folder)
            wait = self._pause()

    def _left(self, period: float) -> float:
        """Seconds until the next one is due after the last, which another process may have made."""
        last = read_attempt(self._folder)
        since = period if last is None else time.time() - last.at
        return min(max(0.0, period - since), period)


async def fetch_content(folder: Path) -> dict[str, Any] | None:
    """Fetches what is new and says what came of it, for the log and for who asked; None where nobody has said
    where signed content comes from."""
    if read_source(folder) is None:
        return None
    try:
        synced = await sync(folder)
    except SyncFailed as failure:
        log.warning("the signed content was not fetched: %s: %s", failure.code, failure)
        return {"failed": failure.code, "message": str(failure)}
    for trouble in synced.troubles:
        log.warning("signed content: %s", trouble)
    if synced.changed:
        log.info("the signed content is new: %s", synced.held.versions)
    return {
        "failed": None,
        "changed": synced.changed,
        "added": [str(case.name) for case in synced.added],
        "gone": [str(case.name) for case in synced.gone],
        "versions": synced.held.versions,
        "stale_since": stale_text(synced.held, time.time()),
        "troubles": synced.troubles,
    }
