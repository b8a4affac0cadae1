"""An agent's data folder for tests: enrolled with a small server, filled with reports, sent from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ots.config.layers import Stated
from ots.config.values import Settings, load
from ots.model.report import Report, Step
from ots.remote.enrol import Application, enrol
from ots.remote.identity import identity
from ots.remote.sending import send_waiting
from ots.remote.upload import Outcome
from ots.store import Store
from ots.store.writer import Queue
from tests.store_kit import finish, make_report, make_step


class HasAddress(Protocol):
    """A server of any make."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class Agent:
    """One installation; `folder` is its data folder."""

    folder: Path

    def settings(self, **upload: Any) -> Settings:
        """Its settings, with what is said of the upload."""
        stated = {"data_dir": str(self.folder), **{f"upload.{name}": value for name, value in upload.items()}}
        return load({name: Stated(value, "test") for name, value in stated.items()})

    def enrol(self, server: HasAddress, token: str = "t") -> None:
        wish = Application(url=server.url, token=token, name="bench")
        asyncio.run(enrol(self.folder, wish, identity(self.folder)))

    def measure(
        self,
        store: Store,
        start: str = "2026-03-01T08:00:00.000000Z",
        *,
        steps: Sequence[Step] = (),
        queue: Queue = "by-hand",
        **changes: Any,
    ) -> bytes:
        """A finished report on the queue; the bytes that were stored."""
        report: Report = make_report(start, agent_id=self.settings().agent_id)
        for name, value in changes.items():
            setattr(report, name, value)
        return finish(store, report, *(steps or [make_step(0)]), queue=queue)

    def send(
        self, store: Store, *, by_hand: bool = True, seconds: float | None = 20.0, **upload: Any
    ) -> Outcome:
        """Sends what waits, however old; by hand, so that no pause is kept."""
        upload = {"max_age": None, **upload}
        return send_waiting(store, self.settings(**upload), by_hand=by_hand, seconds=seconds)


def uploads(store: Store) -> dict[int, tuple[str, str | None]]:
    """Where each report stands, by its number."""
    return {entry.seq: (entry.upload, entry.upload_reason) for entry in store.list()}
