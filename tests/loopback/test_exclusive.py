"""Exclusivity holds across processes, shows whom it waits for, and ends with its holder."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from ots.clock import SystemClock
from ots.engine.exclusive import held
from ots.probe import Failed

HOLDER = """
import asyncio, sys
from ots.clock import SystemClock
from ots.engine.exclusive import held
async def main():
    async with held([sys.argv[1]], SystemClock(), 1.0, lambda name, pid: None):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def link() -> str:
    """A lock name that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


def start_holder(link: str) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, link], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


async def test_two_on_one_link_run_one_after_the_other(link: str) -> None:
    """The second enters only when the first has left."""
    order: list[str] = []
    clock = SystemClock()

    async def measure(name: str, entered: asyncio.Event) -> None:
        async with held([link], clock, 5.0, lambda _name, _pid: order.append(f"{name} waits")):
            order.append(f"{name} in")
            entered.set()
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    first = asyncio.Event()
    one = asyncio.create_task(measure("one", first))
    await first.wait()
    await measure("two", asyncio.Event())
    await one
    assert order == ["one in", "two waits", "one out", "two in", "two out"]


async def test_who_waits_too_long_is_told_who_holds_the_link(link: str) -> None:
    """Waiting is bounded; the holder's process id is shown meanwhile."""
    holder = start_holder(link)
    seen: list[int | None] = []
    try:
        began = time.monotonic()
        with pytest.raises(Failed) as failure:
            async with held([link], SystemClock(), 0.3, lambda _name, pid: seen.append(pid)):
                pytest.fail("the link was held by another process")
        assert failure.value.error.class_ == "resource"
        assert failure.value.error.code == "BUSY"
        assert seen == [holder.pid]
        assert time.monotonic() - began < 3
    finally:
        holder.kill()
        holder.communicate()


async def test_a_killed_holder_frees_the_link_at_once(link: str) -> None:
    """kill -9 leaves nothing to clean up: the kernel frees the lock and wakes who waits."""
    holder = start_holder(link)
    waiting = asyncio.Event()

    async def wait() -> float:
        async with held([link], SystemClock(), 30.0, lambda _name, _pid: waiting.set()):
            return time.monotonic()

    task = asyncio.create_task(wait())
    await waiting.wait()
    os.kill(holder.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert await task - killed < 2
    holder.communicate()


async def test_the_lock_is_free_after_an_error_inside(link: str) -> None:
    """An exception in the block does not keep the link."""
    with pytest.raises(ZeroDivisionError):
        async with held([link, link], SystemClock(), 1.0, lambda _name, _pid: None):
            raise ZeroDivisionError
    async with held([link], SystemClock(), 0.0, lambda _name, _pid: None):
        pass
