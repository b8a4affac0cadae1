"""One HTTP body, read to its end into a transfer's meter."""

from __future__ import annotations

from collections.abc import Callable

from ots.netio.http.client import Answer
from ots.netio.transfer.meter import Flow, Meter


async def receive(
    answer: Answer,
    flow: Flow,
    meter: Meter,
    digest: Callable[[bytes], object] | None,
    book: Callable[[], None],
) -> int:
    """Reads one body to its end into the meter; returns its bytes.

    `book` is called after each read that others may follow; it may raise `Failed`. Bytes are stamped with the
    instant at which the protocol got them, not with that at which this task ran.
    """
    count = 0
    arrivals = answer.arrivals
    flow.look()
    stamp = arrivals.first if answer.content_waits else None
    async for piece in answer.pieces():
        count += len(piece)
        meter.arrived(flow, arrivals.last if stamp is None else stamp, len(piece))
        stamp = None
        if digest is not None:
            digest(piece)
        if not (answer.ended or meter.full.is_set()):
            book()
    return count
