"""Passwords, hashed with argon2id beside the event loop, two at a time so that nobody can take the memory."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ots.server.api.problems import Refused

SHORTEST, LONGEST = 10, 200
_AT_ONCE = 2
Result = TypeVar("Result")


class Passwords:
    """Hashes and checks. One for each event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Raises Refused where the password is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise Refused("invalid-body", f"a password has {SHORTEST} to {LONGEST} characters")
        return await self._beside(partial(self._hasher.hash, password))

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether it does; an account that doesn't exist (`stored` None) takes as long as one that does."""
        if len(password) > LONGEST:
            return False
        if stored is None:
            if self._decoy is None:
                self._decoy = await self._beside(partial(self._hasher.hash, "nobody has this password"))
            await self._beside(partial(self._verify, self._decoy, password))
            return False
        return await self._beside(partial(self._verify, stored, password))

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _beside(self, work: partial[Result]) -> Result:
        async with self._room:
            return await asyncio.to_thread(work)
