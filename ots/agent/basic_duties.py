"""The duties that need nothing but the agent itself: `ping` and `status`."""

from __future__ import annotations

import os
import time
from typing import Any

from ots import __version__
from ots.agent.duties import Duties
from ots.clock import rfc3339
from ots.remote.control_wire import Command

_BEGUN = time.monotonic()


def register_basic(duties: Duties) -> None:
    """Registers what is not registered yet."""
    if duties.get("ping") is None:
        duties.register("ping", _ping)
    if duties.get("status") is None:
        duties.register("status", _status)


async def _ping(_command: Command) -> Any:
    return {"time": rfc3339(time.time())}


async def _status(_command: Command) -> Any:
    return {
        "time": rfc3339(time.time()),
        "version": __version__,
        "running_seconds": round(time.monotonic() - _BEGUN, 3),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
