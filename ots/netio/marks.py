"""The way trigger points are noted, as `ots.probe.Context.mark` notes them."""

from __future__ import annotations

from typing import Protocol


class Mark(Protocol):
    """Notes a trigger point. `t` is a stamp of `clock.monotonic()`; without it, now."""

    def __call__(self, trigger: str, *, t: float | None = None, source: str = "app") -> None: ...
