"""Sends finished reports to the server while the agent runs, and tidies the ledger on the way."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ots.agent.ledger import Ledger, LedgerError
from ots.agent.server_ties import membership_of
from ots.config import Settings
from ots.remote.enrolled import upload_mode
from ots.remote.sending import send_waiting
from ots.store import Store, StoreError

log = logging.getLogger("ots.agent")

_EVERY = 60.0
_AT_ONCE = 15.0
"""Seconds for which reports are sent without a pause."""


class Uploads:
    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._wanted = asyncio.Event()
        self._line_is_back = False

    def soon(self) -> None:
        """There is a new report."""
        self._wanted.set()

    def line_is_back(self) -> None:
        """The line to the server is there, so what failed for want of one is not put off any longer."""
        self._line_is_back = True
        self._wanted.set()

    async def run(self) -> None:
        """After each run, and every minute: what a cut line left behind goes out when there is one again."""
        while True:
            try:
                self._wanted.clear()
                at_once, self._line_is_back = self._line_is_back, False
                await asyncio.to_thread(self._send, at_once=at_once)
                await asyncio.to_thread(self._ledger.prune)
            except (StoreError, LedgerError) as error:
                log.warning("Nothing was sent: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._wanted.wait()

    def _send(self, *, at_once: bool) -> None:
        folder = self._settings.data_dir
        if membership_of(folder) is None or upload_mode(self._settings) != "auto":
            return
        with Store.open(folder) as store:
            send_waiting(store, self._settings, seconds=_AT_ONCE, by_hand=at_once)
