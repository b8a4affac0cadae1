"""What the SMTP peer takes in and the POP3 peer gives out: mailboxes in memory, and not too large."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ots.netio.mail.message import compose

LARGEST_MESSAGE = 32 << 20
_MOST_MESSAGES = 500
_MOST_BYTES = 128 << 20

STANDING = "reader"
"""A mailbox whose one message is always there, whoever deletes it: something to fetch."""

_STANDING_SIZE = 100_000


@dataclass(frozen=True, slots=True)
class Stored:
    """One message. `number` is unique for as long as the peers live."""

    number: int
    name: str
    data: bytes


class Postboxes:
    """Every name is a mailbox; a message for `name@anything` lies in `name`. Where there is no room left, the
    oldest message makes some: a probe that only sends never comes back to clean up."""

    def __init__(self) -> None:
        self._held: list[Stored] = []
        self._numbers = itertools.count(1)
        letter = compose("peer@ots.test", f"{STANDING}@ots.test", _STANDING_SIZE, time.time())
        self._standing = Stored(next(self._numbers), STANDING, letter.data)

    def deliver(self, recipients: Sequence[str], data: bytes) -> None:
        """Puts a message into the mailboxes of all recipients."""
        for recipient in recipients:
            self._held.append(Stored(next(self._numbers), name_of(recipient), data))
        while (
            len(self._held) > _MOST_MESSAGES or sum(len(stored.data) for stored in self._held) > _MOST_BYTES
        ):
            del self._held[0]

    def look(self, name: str) -> list[Stored]:
        """What lies in a mailbox now, oldest first."""
        standing = [self._standing] if name_of(name) == STANDING else []
        return standing + [stored for stored in self._held if stored.name == name_of(name)]

    def remove(self, gone: Collection[Stored]) -> None:
        """Takes messages out, for good."""
        numbers = {stored.number for stored in gone}
        self._held = [stored for stored in self._held if stored.number not in numbers]


def name_of(address: str) -> str:
    """The mailbox of an address."""
    return address.partition("@")[0].lower()
