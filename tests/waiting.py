"""Waiting for something that will come, with an end to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(true: Callable[[], bool], within: float = 10.0) -> None:
    """Returns once it is true; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)
