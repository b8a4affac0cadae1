"""The server's clock as this machine can tell it: what the server said, and how long ago that was."""

from __future__ import annotations

import time


def since_boot() -> float:
    """Seconds that nobody can set, with the time asleep where the system counts it."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class ServerClock:
    """A jump of this machine's clock does not move it. `offset` is the first guess, from the membership."""

    def __init__(self, offset: float) -> None:
        self._server = time.time() + offset
        self._then = since_boot()

    def hear(self, server: float) -> None:
        """The server says that it is `server` (seconds since 1970) now."""
        self._server, self._then = server, since_boot()

    def now(self) -> float:
        """Seconds since 1970 by the server's clock."""
        return self._server + since_boot() - self._then

    def here(self, moment: float) -> float:
        """A moment of the server's clock by this machine's."""
        return moment - self.now() + time.time()
