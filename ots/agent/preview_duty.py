"""The duty `preview`: what would become of a run, planned in a process of its own as the run would be."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ots.agent.duties import Declined
from ots.agent.examining import NoCommand
from ots.agent.order import Order
from ots.agent.ordering import order_of
from ots.license.policy import Entitlement
from ots.remote.control_wire import Command, Foreseen, Reason

_PATIENCE = 30.0
"""Seconds that a plan may take, the machine's name service included."""


class PreviewDuty:
    """Foresees one run at a time, however many are asked for."""

    def __init__(self, rights: Callable[[], Entitlement]) -> None:
        self._rights = rights
        self._turn = asyncio.Lock()

    async def answer(self, command: Command) -> Any:
        """`Foreseen`, as JSON holds it. Raises Declined."""
        now = time.time()
        try:
            order = order_of(command, self._rights(), not_before=now, not_after=now + _PATIENCE)
        except NoCommand as none:
            reason = Reason(code=none.reason, text=str(none))
            return msgspec.to_builtins(Foreseen(would="refuse", reasons=[reason]))
        async with self._turn:
            return msgspec.to_builtins(await _planned(order))


async def _planned(order: Order) -> Foreseen:
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ots.agent.foreseeing", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        raise Declined("not-foreseen", str(error)) from None
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate(msgspec.json.encode(order))
    except TimeoutError:
        raise Declined("not-foreseen", f"no plan within {_PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return msgspec.json.decode(out, type=Foreseen)
    except msgspec.MsgspecError:
        raise Declined("not-foreseen", f"exit code {process.returncode}") from None
