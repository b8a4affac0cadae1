"""Watches the event loop: how late a timer fires is how late this process may see anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ots.clock import Clock
from ots.stats import distribution

_PERIOD = 0.02
_KEEP = 60_000


@dataclass(slots=True, eq=False)
class LagWindow:
    """The lateness of the timer in seconds during one step. Two windows are never the same one."""

    lags: list[float] = field(default_factory=list)

    def p99(self) -> float | None:
        return distribution.compute("p99", sorted(self.lags))[0]

    def late_share(self) -> float:
        """The share of the time in which a timer should have fired and had not yet."""
        late = sum(self.lags)
        return late / (late + _PERIOD * len(self.lags)) if self.lags else 0.0

    def maximum(self) -> float | None:
        return max(self.lags, default=None)


class LagWatch:
    """A task that sleeps and measures by how much it overslept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: list[LagWindow] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LagWatch:
        self._task = asyncio.create_task(self._watch(), name="lag watch")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @contextmanager
    def window(self, window: LagWindow) -> Iterator[None]:
        """Collects the lateness seen while the block runs."""
        self._windows.append(window)
        try:
            yield
        finally:
            self._windows.remove(window)

    async def _watch(self) -> None:
        while True:
            due = self._clock.monotonic() + _PERIOD
            await asyncio.sleep(_PERIOD)
            lag = max(0.0, self._clock.monotonic() - due)
            for window in self._windows:
                if len(window.lags) < _KEEP:
                    window.lags.append(lag)
