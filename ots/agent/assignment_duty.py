"""The duty to know what the server assigns: asked when it hints, when the line is new, and now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path

from ots.remote.assignments import fetch_assignments
from ots.remote.client import Client, Refused
from ots.remote.identity import Identity
from ots.remote.membership import Membership, MembershipError

log = logging.getLogger("ots.agent")

EVERY = 900.0
_JITTER = 0.25
_SPREAD = 5.0
"""Seconds within which agents that were hinted at together ask."""


class AssignmentDuty:
    """Keeps the assignments of a data folder; `told` hears when the server was asked."""

    def __init__(
        self,
        folder: Path,
        membership: Membership,
        who: Identity,
        told: Callable[[], None],
        spread: float = _SPREAD,
    ) -> None:
        self._folder = folder
        self._membership = membership
        self._who = who
        self._told = told
        self._spread = spread
        self._asked = asyncio.Event()

    def soon(self) -> None:
        """There may be something new."""
        self._asked.set()

    async def run(self) -> None:
        """Asks at once and then again and again, until it is cancelled."""
        while True:
            await self._fetch()
            with_jitter = EVERY * random.uniform(1 - _JITTER, 1 + _JITTER)
            try:
                async with asyncio.timeout(with_jitter):
                    await self._asked.wait()
                await asyncio.sleep(random.uniform(0, self._spread))
            except TimeoutError:
                pass
            self._asked.clear()

    async def _fetch(self) -> None:
        member = self._membership
        if not member.command_keys:
            return  # nothing that it says could be believed; remote control learns the key
        try:
            async with Client(
                member.url, self._who, clock_offset=member.clock_offset, ca=member.ca
            ) as client:
                await fetch_assignments(self._folder, member, client)
        except (Refused, MembershipError) as error:
            log.info("the assignments stay as they are: %s", error)
            return
        self._told()
