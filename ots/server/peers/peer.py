"""What every embedded peer is to the one who started it: an address, and a way to end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server.

    Each peer's module has `async def start(host: str, port: int = 0) -> Peer`; port 0 takes a free one.
    """

    name: str
    host: str
    port: int
    _close: Callable[[], Awaitable[None]]

    async def close(self) -> None:
        """Ends the server and all its connections."""
        await self._close()
