"""Books what a run moves while it goes on: over which interface, in which network."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from ots.engine.budget import DataBudget
from ots.model.report import Context
from ots.session.link_record import LinkRecord, LinkRecordError

log = logging.getLogger("ots.session")

BOOK_EVERY = 60.0
"""Seconds: a run that goes on for days is booked on the way, in between its measurements."""

Observe = Callable[[float], Awaitable[Context]]


class LinkMeter:
    """`run` is the name under which bytes were set aside for this run, if they were.

    That something can't be booked is warned of and spoils no result.
    """

    def __init__(
        self,
        folder: Path,
        budget: DataBudget,
        observe: Observe,
        run: str | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._budget, self._observe, self._run = folder, budget, observe, run
        self._wall, self._monotonic = wall, monotonic
        self._networks: dict[str, str] = {}
        self._booked: dict[str, int] = {}
        self._last = monotonic()

    async def observe(self, t: float) -> Context:
        """Looks where the machine is attached, for the report, and learns the network of the link by it."""
        seen = await self._observe(t)
        link, network = seen.network.get("interface"), network_of(seen.network)
        changed = isinstance(link, str) and self._networks.get(link, network) != network
        if changed or self._monotonic() - self._last >= BOOK_EVERY:
            self.book()
        if isinstance(link, str):
            self._networks[link] = network
        return seen

    def book(self) -> None:
        """Books what was moved since the last time."""
        self._last = self._monotonic()
        moved = dict(self._budget.by_link)
        fresh = {
            (link, self._networks.get(link, "")): count - self._booked.get(link, 0)
            for link, count in moved.items()
            if count > self._booked.get(link, 0)
        }
        if not fresh:
            return
        try:
            record = LinkRecord(self._folder)
            try:
                record.book(self._wall(), fresh, self._run)
            finally:
                record.close()
        except LinkRecordError as error:
            log.warning("What the run has moved could not be booked: %s", error)
        else:
            self._booked = moved


def network_of(attached: Mapping[str, Any]) -> str:
    """The network behind an interface, as far as a report's context tells: the blinded name of a Wi-Fi, else
    the first gateway's address; empty where neither is known."""
    name = (attached.get("wifi") or {}).get("ssid_hash")
    if isinstance(name, str) and name:
        return f"wifi {name}"
    gateways = attached.get("gateway") or []
    return str(gateways[0]["address"]) if gateways else ""
