"""Places on the server: who holds one measures, who doesn't waits, and too many tests never meet.

A place is taken by asking for it (its token then stands in each request) or by simply beginning a transfer,
as foreign clients do; all transfers of one address then share one place. Places lie in a file in memory that
all workers have open; each change happens under its lock, and a place nobody gives back runs out.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import mmap
import os
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ots.server.peers.memory_file import memory_file

_RECORD = struct.Struct("=16s16sdI4x")
"""Digest of the token (zeros: a visitor's place) and of the client, end on the monotonic clock, visits."""
_NOBODY = bytes(16)
_GRACE = 5.0
"""Seconds that a place lasts longer than was asked for: connections are made and ended."""
_LINGER = 1.0
"""Seconds for which a visitor's place is kept between two of its transfers."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that was given. `seconds` is what was granted, `expires_in` when it runs out by itself."""

    token: str
    seconds: float
    expires_in: float


class Busy(Exception):
    """No place is free; `wait` is in how many seconds one will be, at the latest."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"no place is free; try again in {wait:g} s")
        self.wait = wait


class Slots:
    """The places of one server. Made before the workers are forked, it is shared by them."""

    def __init__(self, total: int, per_client: int, max_seconds: float) -> None:
        self.total = total
        self.max_seconds = max_seconds
        self._per_client = per_client
        self._fd = memory_file("ots-slots", max(1, total) * _RECORD.size)
        self._map = mmap.mmap(self._fd, 0)

    def close(self) -> None:
        """Gives the memory back."""
        self._map.close()
        os.close(self._fd)

    def take(self, client: bytes, seconds: float) -> Slot:
        """A place for a client; `Busy` if none is free, or it holds as many as one client may."""
        granted = min(max(seconds, 1.0), self.max_seconds)
        token = secrets.token_urlsafe(18)
        with self._locked():
            now = time.monotonic()
            self._put(self._free(client, now), _digest(token), client, now + granted + _GRACE, 0)
        return Slot(token, granted, granted + _GRACE)

    def give_back(self, token: str) -> bool:
        """Whether there was such a place."""
        with self._locked():
            found = self._find(_digest(token), time.monotonic())
            if found is not None:
                self._put(found, _NOBODY, b"", 0.0, 0)
        return found is not None

    def left(self, token: str) -> float | None:
        """Seconds until the place of a token runs out; None if there is none."""
        with self._locked():
            now = time.monotonic()
            found = self._find(_digest(token), now)
            return None if found is None else self._read(found)[2] - now

    @contextlib.contextmanager
    def visit(self, client: bytes, seconds: float) -> Iterator[None]:
        """A transfer of at most so many seconds without a token; `Busy` if no place is free for it."""
        self._enter(client, seconds)
        try:
            yield
        finally:
            self._leave(client)

    def free(self) -> int:
        with self._locked():
            now = time.monotonic()
            return sum(end <= now for _, _, end, _ in self._all())

    def _enter(self, client: bytes, seconds: float) -> None:
        with self._locked():
            now = time.monotonic()
            index, end, visits = self._visitor(client, now) or (self._free(client, now), 0.0, 0)
            self._put(index, _NOBODY, client, max(end, now + seconds + _GRACE), visits + 1)

    def _leave(self, client: bytes) -> None:
        with self._locked():
            now = time.monotonic()
            found = self._visitor(client, now)
            if found is not None:
                index, end, visits = found
                end = end if visits > 1 else min(end, now + _LINGER)
                self._put(index, _NOBODY, client, end, max(0, visits - 1))

    def _visitor(self, client: bytes, now: float) -> tuple[int, float, int] | None:
        who = _digest(client)
        for index, (token, holder, end, visits) in enumerate(self._all()):
            if holder == who and token == _NOBODY and end > now:
                return index, end, visits
        return None

    def _free(self, client: bytes, now: float) -> int:
        records = list(self._all())
        who = _digest(client)
        own = [end for _, holder, end, _ in records if holder == who and end > now]
        if len(own) >= self._per_client:
            raise Busy(_wait(min(own) - now))
        for index, (_, _, end, _) in enumerate(records):
            if end <= now:
                return index
        raise Busy(_wait(min((end for _, _, end, _ in records), default=now) - now))

    def _find(self, digest: bytes, now: float) -> int | None:
        for index, (token, _, end, _) in enumerate(self._all()):
            if token == digest and end > now:
                return index
        return None

    def _all(self) -> Iterator[tuple[bytes, bytes, float, int]]:
        return (self._read(index) for index in range(self.total))

    def _read(self, index: int) -> tuple[bytes, bytes, float, int]:
        token, holder, end, visits = _RECORD.unpack_from(self._map, index * _RECORD.size)
        return token, holder, end, visits

    def _put(self, index: int, token: bytes, client: bytes, end: float, visits: int) -> None:
        _RECORD.pack_into(self._map, index * _RECORD.size, token, _digest(client), end, visits)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # Held for microseconds; the kernel takes it back from a worker that dies with it.
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)


def _digest(text: str | bytes) -> bytes:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return hashlib.blake2s(raw, digest_size=16).digest()


def _wait(seconds: float) -> float:
    return float(max(1, math.ceil(seconds)))
