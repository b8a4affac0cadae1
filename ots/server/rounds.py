"""The server's housekeeping: every chore once an hour, in each process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ots.server.database.database import DatabaseAway, DatabaseFull

PERIOD, AGAIN = 3600.0, 60.0
"""Seconds between two rounds, and after one that failed."""

log = logging.getLogger("ots.server")


async def rounds(chores: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Round after round, until it is cancelled."""
    while True:
        try:
            for chore in chores:
                await chore()
            pause = PERIOD
        except (DatabaseAway, DatabaseFull) as error:
            log.warning("retention waits: %s", error)
            pause = AGAIN
        await asyncio.sleep(pause)
