"""The repository in the server's folder: taken over, renewed, and read by whoever asks for its files."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tuf.api.metadata import Signed

from ots.content.keys import signer_of
from ots.content.layout import DAY
from ots.content.offer import NotTaken, Offer, held_files, served_versions, take
from ots.content.online import METADATA, Lives, Unserveable, freshen, newest, read_root, role_file
from ots.signing.keys import load_or_make, write_public
from ots.store.liveness import exclusive

FOLDER = "content"
KEY = "content.key"
TELL_BEFORE = 21.0
"""Days before the end of what a publisher signed from which on the log tells of it."""

RENEW_EVERY = 600.0
"""Seconds between two looks at whether snapshot and timestamp need renewing."""

log = logging.getLogger("ots.server")


class KeptContent:
    """The repository below `content/` of the server's folder. Several processes may hold the same one."""

    def __init__(
        self, folder: Path, key: Ed25519PrivateKey | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        """Raises UnusableKey."""
        self.public = folder / FOLDER
        self._key = key or load_or_make(folder / KEY)
        self._wall = wall
        self._lives = Lives()

    @property
    def online_key(self) -> str:
        """The public key for snapshot and timestamp, 43 characters."""
        return write_public(self._key.public_key())

    def versions(self) -> dict[str, int]:
        """What is served, by role; empty where nothing is. Raises Unserveable."""
        return served_versions(self.public)

    def files(self) -> list[str]:
        return sorted(held_files(self.public))

    def root(self) -> bytes | None:
        """The newest root, for agents to pin; None where nothing is served. Raises OSError."""
        version = newest(self.public, "root")
        return (self.public / METADATA / f"{version}.root.json").read_bytes() if version else None

    def take(self, offer: Offer) -> dict[str, int]:
        """Takes an offer over, one at a time. Raises NotTaken, OSError."""
        self.public.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(self.public / ".lock"):
            try:
                return take(self.public, offer, signer_of(self._key), self._wall(), self._lives)
            except Unserveable as error:
                raise NotTaken(str(error)) from None

    def freshen(self) -> bool:
        """Renews what is half over; False if nothing is. Raises Unserveable, OSError."""
        if self.root() is None:
            return False
        with exclusive(self.public / ".lock"):
            return freshen(self.public, signer_of(self._key), self._wall(), self._lives)

    def ending(self) -> dict[str, float]:
        """Days that are left to what a publisher signed, by role, where these are few. Raises Unserveable."""
        parts: dict[str, Signed] = {"root": read_root(self.public).signed}
        for role in self.versions():
            if role != "root":
                parts[role] = role_file(self.public, role).signed
        left = {role: (part.expires.timestamp() - self._wall()) / DAY for role, part in parts.items()}
        return {role: days for role, days in left.items() if days < TELL_BEFORE}

    async def keep_fresh(self) -> None:
        """Renews for as long as it runs; trouble is logged, and tried again."""
        while True:
            try:
                if await asyncio.to_thread(self.freshen):
                    log.info("the timestamp of the signed content was renewed")
                    for role, left in (await asyncio.to_thread(self.ending)).items():
                        log.warning(
                            "what %s signed ends in %.0f days: ots content renew %s", role, left, role
                        )
            except (Unserveable, OSError) as error:
                log.error("the signed content can't be renewed: %s", error)
            await asyncio.sleep(RENEW_EVERY)
