"""Exit codes of every command. When several apply, the first of PRECEDENCE counts."""

from __future__ import annotations

from collections.abc import Iterable

PASS = 0
FAIL = 1
USAGE = 2
ERROR = 3
INTERNAL = 4
NOTHING_MEASURED = 5
LICENCE_REFUSED = 6
NOT_WRITTEN = 7
INTERRUPTED = 130
TERMINATED = 143

MEANINGS: dict[int, str] = {
    PASS: "passed or measured; warnings too, unless --warn-as-fail",
    FAIL: "at least one step failed",
    USAGE: "wrong usage or an invalid case file; nothing ran",
    ERROR: "no step failed, but at least one could not be judged",
    INTERNAL: "internal error before a report could be written",
    NOTHING_MEASURED: "nothing was measured: no case selected, or every step skipped",
    LICENCE_REFUSED: "the licence refused every step",
    NOT_WRITTEN: "the run finished but its report could not be written or uploaded",
    INTERRUPTED: "interrupted by Ctrl-C; a partial report was written",
    TERMINATED: "ended by SIGTERM; a partial report was written",
}

PRECEDENCE = (
    INTERRUPTED,
    TERMINATED,
    INTERNAL,
    USAGE,
    NOT_WRITTEN,
    LICENCE_REFUSED,
    FAIL,
    ERROR,
    NOTHING_MEASURED,
    PASS,
)


def strongest(codes: Iterable[int]) -> int:
    """The one code for several outcomes; PASS for none."""
    return min(codes, key=PRECEDENCE.index, default=PASS)
