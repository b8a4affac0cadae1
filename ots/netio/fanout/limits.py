"""How many connections this process may have open beside what it has already."""

from __future__ import annotations

import os
import resource

from ots.i18n import N_
from ots.probe import Failed

RESERVE = 64
"""Descriptors left to the rest of the program: reports, logs, the resolver."""


def window_of(concurrency: int) -> int:
    """`concurrency`, or fewer where the limit of open files (ulimit -n) leaves no room for so many.

    The limit is obeyed, not raised. `Failed`, class `resource`, or OSError if there
    is no room at all.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return concurrency
    room = soft - len(os.listdir("/proc/self/fd")) - RESERVE
    if room < 1:
        # A small limit is no reason to give up: half of what is left.
        room = (room + RESERVE) // 2
    if room < 1:
        raise Failed(
            "resource",
            "connect",
            "EMFILE",
            f"the limit of {soft} open files leaves none for a connection",
            remedy=N_("Raise the limit of open files (ulimit -n) or ask for fewer connections."),
        )
    return min(concurrency, room)
