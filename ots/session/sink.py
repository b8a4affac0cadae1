"""The engine's sink into the store: written before it is acknowledged, and never a reason to stop a run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from ots.model.report import Report, Step
from ots.store import StoreError
from ots.store.writer import RunWriter


class StoreSink:
    """Writes through a RunWriter beside the event loop; remembers the first failure instead of raising it."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self.failure: StoreError | None = None

    async def head(self, report: Report) -> None:
        await asyncio.to_thread(self._try, self._writer.head, report)

    async def step(self, position: int, step: Step) -> None:
        await asyncio.to_thread(self._try, self._writer.step, position, step)

    def artifact(self, name: str, data: bytes) -> str:
        self._try(self._writer.artifact, name, data)
        return hashlib.sha256(data).hexdigest()

    def finish(self, report: Report) -> None:
        """Stores the final document, which makes up for whatever could not be written before.

        If that fails the run stays open, and the next start closes it with the steps that were written.
        """
        try:
            self._writer.finish(report)
            self.failure = None
        except StoreError as failure:
            self.failure = failure
            self._writer.release()

    def _try(self, write: Callable[..., Any], *args: object) -> None:
        try:
            write(*args)
        except StoreError as failure:
            self.failure = self.failure or failure
