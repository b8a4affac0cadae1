"""Single round trips against a packet tap in the same namespace, every core busy."""

from __future__ import annotations

from collections.abc import Iterator

from bench.contest import OURS, hold
from bench.icmp_rtt import contests
from tests.lab.row import Row


def tapped() -> Iterator[Row]:
    """The 99th percentile of the error, beside that of ping and fping in the same run."""
    with contests() as (contest, *_):
        outcome = hold(contest, rounds=1)
    reached = {each.name: each.figures[0] for each in outcome.standings}
    for name in ("ping", "fping"):
        yield Row(
            "Round-trip time against a packet tap",
            "1 ms one way, every core busy, 300 requests",
            "99th percentile of |error|",
            "µs",
            0.0,
            reached[OURS],
            name,
            reached[name],
        )
