"""Remote control as a part of the resident agent: ledger, obedience and line, put together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ots.agent import runs as events
from ots.agent.basic_duties import BasicDuties
from ots.agent.content_duty import fetch_content
from ots.agent.duties import Declined, Duties
from ots.agent.ledger import Ledger
from ots.agent.log_tail import LogTail
from ots.agent.obey import Obedience, Runs
from ots.agent.order import Order
from ots.agent.preview_duty import PreviewDuty
from ots.license.policy import Entitlement
from ots.remote import control_wire as wire
from ots.remote.channel import Channel
from ots.remote.client import Client, Refused
from ots.remote.enrol import refresh
from ots.remote.identity import Identity
from ots.remote.membership import Membership, MembershipError

log = logging.getLogger("ots.agent")

_ASK_AGAIN = 60.0
_BETWEEN_WORDS = 1.0
"""Seconds between two messages that only tell of progress."""


class ToldRuns(Runs, Protocol):
    """Whoever runs orders, and tells of it: `ots.agent.runs.Runs`."""

    def listen(self, callback: Callable[[events.Event], None]) -> None: ...


class RemoteControl:
    """Hears of the runs' events from when it is made; `run` keeps the line until it is cancelled."""

    def __init__(
        self,
        folder: Path,
        membership: Membership,
        who: Identity,
        ledger: Ledger,
        duties: Duties,
        runs: ToldRuns,
        rights: Callable[[], Entitlement],
    ) -> None:
        self._folder = folder
        self._membership = membership
        self._client = Client(membership.url, who, clock_offset=membership.clock_offset, ca=membership.ca)
        self._tail = LogTail()
        basic = BasicDuties(folder, runs, self._tail)
        basic.on_report = self._reported
        basic.register(duties)
        self.on_report: Callable[[], None] = lambda: None
        duties.register("sync", self._sync)
        duties.register("preview", PreviewDuty(rights).answer)
        self.obedience = Obedience(membership, ledger, duties, runs, rights, self._say)
        self.channel = Channel(self._client, self.obedience)
        self._told: dict[str, tuple[float, str | None]] = {}
        runs.listen(self._heard)

    async def run(self, waiting: Sequence[Order] = ()) -> None:
        """Learns the server's command key where none is pinned, then keeps the line.

        `waiting` are the orders that the ledger's start gave back as not begun.
        """
        self._tail.attach()
        async with self._client:
            try:
                while not self._membership.command_keys:
                    if not await self._learn():
                        await asyncio.sleep(_ASK_AGAIN)
                await self.obedience.resume(waiting)
                await self.channel.run()
            finally:
                self._tail.detach()
                await self.obedience.close()

    async def _learn(self) -> bool:
        try:
            await refresh(self._folder, self._membership, self._client)
        except (Refused, MembershipError) as error:
            log.warning("the server's command key is not known yet: %s", error)
        return bool(self._membership.command_keys)

    def _reported(self) -> None:
        self.on_report()

    def _heard(self, event: events.Event) -> None:
        """Tells the server how a run goes on, but not every word of it."""
        if isinstance(event, events.Started):
            self.obedience.started(event.order_id)
        elif isinstance(event, events.Ended):
            self._told.pop(event.order_id, None)
            self.obedience.ended(event.order_id)
        else:
            now, (then, step) = time.monotonic(), self._told.get(event.order_id, (0.0, None))
            if step != event.step or now - then >= _BETWEEN_WORDS:
                self._told[event.order_id] = (now, event.step)
                self.obedience.progressed(event.order_id, event.step, event.fraction, event.text)

    async def refresh(self) -> None:
        """Asks where this agent stands, and for its licence, after a hint."""
        try:
            await refresh(self._folder, self._membership, self._client)
        except (Refused, MembershipError) as error:
            log.warning("the server was not asked: %s", error)

    async def _sync(self, _command: wire.Command) -> Any:
        """Asks the server anew: status, licence, withdrawn licences, signed content."""
        try:
            await refresh(self._folder, self._membership, self._client)
        except (Refused, MembershipError) as error:
            raise Declined("not-refreshed", str(error)) from None
        content = await fetch_content(self._folder)
        return {"tier": self._membership.tier, "status": self._membership.status, "content": content}

    def _say(self, message: wire.FromAgent) -> None:
        self.channel.say(message)
