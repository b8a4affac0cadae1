"""The emulator itself: does it keep to what it was asked? By its own log, by ping and by iperf3."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.lab import references
from tests.lab.delays import true_round_trips
from tests.lab.link import UP, link
from tests.lab.load import busy
from tests.lab.row import Row

_PAYLOAD, _HEADERS = 1400, 28
"""Bytes of UDP payload, and of the IP and UDP headers before it."""


def emulation() -> Iterator[Row]:
    """Rows in which the emulator stands where OTS stands elsewhere."""
    for loaded in (False, True):
        with link(delay=0.010) as ends, busy(loaded):
            theirs = references.ping(ends, 200, 0.01)
            kept = [rtt for rtt in true_round_trips(ends.fates()) if rtt is not None]
        yield Row(
            "The emulator",
            f"10 ms one way, {'both cores busy' if loaded else 'idle'}, 200 echoes",
            "median of both ways, by its log",
            "ms",
            20.0,
            statistics.median(kept) * 1e3,
            "ping",
            statistics.median(rtt for rtt in theirs if rtt is not None) * 1e3,
            tolerance=0.05,
        )
    with link(loss=0.05, seed=41) as ends:
        theirs = references.ping(ends, 1000, 0.002)
        books = ends.books()
    yield Row(
        "The emulator",
        "5 % loss each way, 1,000 echoes of ping",
        "lost by its books",
        "packets",
        float(theirs.count(None)),
        float(sum(way["lost"] for way in books)),
        tolerance=0,
    )
    with link(rate_down=50e6, rate_up=50e6, queue=300_000) as ends, references.iperf3_server(ends):
        said = references.iperf3_flood(ends, payload=_PAYLOAD, offered=60e6, seconds=4)
        left = sorted(
            (fate.left, fate.length)
            for fate in ends.fates()
            if fate.direction == UP and fate.left is not None
        )
    middle = [(at, length) for at, length in left if 1.5 <= at - left[0][0] <= 4.0]
    rate = 8 * sum(length for _, length in middle[1:]) / (middle[-1][0] - middle[0][0])
    yield Row(
        "The emulator",
        "50 Mbit/s, flooded by iperf3 with 60 Mbit/s of UDP",
        "IP packets that left, by its log",
        "Mbit/s",
        50.0,
        rate / 1e6,
        "iperf3 with headers added",
        said * (_PAYLOAD + _HEADERS) / _PAYLOAD / 1e6,
        tolerance=0.05,
    )
