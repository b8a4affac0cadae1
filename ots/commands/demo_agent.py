"""The agent of `ots demo`: this installation's id in a folder of its own, a member of the demo's server.

So the demo makes no machine a member of a server that is gone a minute later, and leaves one that is a member
of another server as it is.
"""

from __future__ import annotations

import copy
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from ots.config import Settings, settings
from ots.config.agent import FILE
from ots.model.report import Report
from ots.remote.client import Client
from ots.remote.enrol import Application, enrol, tell
from ots.remote.identity import identity
from ots.remote.sending import send_waiting
from ots.store import Store

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class DemoAgent:
    """`folder` is its data folder, which must be new."""

    folder: Path

    @property
    def agent_id(self) -> str:
        return settings().agent_id

    async def enrol(self, url: str, token: str) -> None:
        """Takes a place on the server and tells it of this machine. Raises Refused, MembershipError."""
        self.folder.mkdir(mode=0o700)
        (self.folder / FILE).write_text(f"{self.agent_id}\n", "ascii")
        _go_directly("127.0.0.1")
        who = identity(self.folder)
        wish = Application(url=url, token=token, name=socket.gethostname())
        membership = await enrol(self.folder, wish, who)
        async with Client(url, who, clock_offset=membership.clock_offset) as client:
            await tell(membership, client, self._settings(), 0)

    def send(self, report: Report) -> str | None:
        """Sends a report with the files beside it; why it was not sent, None if it was. Raises StoreError."""
        sent = copy.deepcopy(report)
        files = {each.sha256: each.name for step in report.steps for each in step.artifacts}
        with Store.open(self.folder) as store, Store.open_read_only(settings().data_dir) as kept:
            with store.begin(sent, queue="by-hand") as writer:
                for digest, name in files.items():
                    writer.artifact(name, kept.artifact(digest))
                sent.run.state = report.run.state
                writer.finish(sent)
            outcome = send_waiting(store, self._settings(), by_hand=True, seconds=_PATIENCE)
        reasons = [outcome.stopped, *outcome.parked.values(), *outcome.postponed.values()]
        return next((reason for reason in reasons if reason is not None), None)

    def _settings(self) -> Settings:
        return settings().model_copy(update={"data_dir": self.folder})


def _go_directly(address: str) -> None:
    """No proxy leads to a server on this machine's own loopback."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"{known},{address}" if known else address
