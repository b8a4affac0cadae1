"""What the tasks of remote control have in common: no fault ends one of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from ots.server.database.database import DatabaseAway, DatabaseFull

log = logging.getLogger("ots.server")


async def steadily(what: str, step: Callable[[], Awaitable[None]]) -> bool:
    """Takes one step of a task; False where it failed, which the log then tells."""
    try:
        await step()
    except (DatabaseAway, DatabaseFull) as error:
        log.warning("%s waits for the database: %s", what, error)
        return False
    except Exception:  # noqa: BLE001 - the next round may go well; the log has the traceback
        log.exception("%s failed", what)
        return False
    return True
