"""A mailbox as a mail probe sees it, whether it is read by IMAP or by POP3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ots.netio.mail.connection import Span
from ots.netio.mail.download import Download

LOOK_BACK = 500
"""Messages that a search looks at, the newest: a mailbox may hold any number, and what was sent is new."""

Service = Literal["imap", "pop3"]


@dataclass(frozen=True, slots=True)
class Found:
    """A message: `number` is its UID (IMAP) or its number in this session (POP3), `size` what the server
    says it has, in bytes."""

    folder: str
    number: int
    size: int | None = None
    spam: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that has come: when it was first visible, on the monotonic clock, and how that was noticed.

    `idle`: the server told (RFC 2177). `poll`: we looked again every `resolution` seconds, and the time is
    late by up to that. `search`: it was there when we first looked, so `seen` is an upper bound.
    """

    found: Found
    seen: float
    by: Literal["idle", "poll", "search"]
    resolution: float


class Mailbox(Protocol):
    """What IMAP and POP3 can both do. Every wait is bounded; what goes wrong raises `Failed`."""

    @property
    def service(self) -> Service: ...

    @property
    def phases(self) -> Mapping[str, Span]:
        """`tcp_connect`, `greeting`, `login` and others of the first session, those that were reached."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """How it was read, for `ctx.method`."""
        ...

    @property
    def messages(self) -> int:
        """Messages in the inbox, as the server last said."""
        ...

    async def open(self) -> None:
        """Resolves, connects, secures, logs in, and opens the inbox."""
        ...

    async def headers(self, count: int) -> int:
        """Lists the newest `count` messages by their headers, as a client does first; how many came."""
        ...

    async def newest(self) -> Found | None:
        """The newest message of the inbox; None if it is empty."""
        ...

    async def find(self, token: str, *, everywhere: bool = False) -> list[Found]:
        """The messages whose subject or Message-ID holds `token`, newest first; of each folder, the newest
        `LOOK_BACK` messages are looked at. `everywhere`: in the folder for spam and the others, too."""
        ...

    async def arrival(self, token: str, until: float, poll: float) -> Arrival | None:
        """Waits for such a message in any folder; None if there is none at `until`.

        Where the server can't tell of it, it is looked for every `poll` seconds.
        """
        ...

    async def fetch(self, found: Found, download: Download) -> None:
        """Has the whole message come into `download`. With POP3, the server may mark it as read."""
        ...

    async def delete(self, found: Found) -> None:
        """Removes it for good; with POP3, when the mailbox is closed."""
        ...

    async def close(self) -> None:
        """Says goodbye, if there is somebody to say it to, and hangs up.

        `Failed` where that leaves a message behind that was to be deleted.
        """
        ...
