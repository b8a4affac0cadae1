"""How long `ots --help` takes, beside what anything made with click must take: `python -c "import click"`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.child import run
from bench.contest import OURS, Contender, Contest, Goal, Reading

_CLICK = "import click"


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    yield [
        Contest(
            area="Start of ots --help",
            work="One whole process prints the help.",
            unit="ms",
            contenders=[
                Contender(_CLICK, lambda: _once(sys.executable, "-c", _CLICK)),
                Contender(OURS, lambda: _once(sys.executable, "-m", "ots", "--help")),
            ],
            goals=[Goal(1.6, "at most", _CLICK)],
            rounds=21,
        )
    ]


def _once(*command: str) -> Reading:
    done = run(command)
    return Reading(done.seconds * 1e3, done.cpu)
