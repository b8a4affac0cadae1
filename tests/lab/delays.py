"""Round trips, loss, jitter, duplicates and reordering over a link that knows them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

from bench.product import Measured, measure
from tests.lab import references
from tests.lab.link import DOWN, UP, EmulatedLink, Ends, Fate, link
from tests.lab.load import busy
from tests.lab.row import Row

_ONE_WAY = (0.001, 0.010, 0.050, 0.200)
_REQUEST, _REPLY = 8, 0


def ots_ping(ends: Ends, count: int, interval: float, *more: str) -> Measured:
    """The product's ping at the near end."""
    return measure(
        ["ping", ends.far_address, "--count", str(count), "--interval", f"{interval} s", *more],
        prefix=ends.prefix,
    )


def samples(measured: Measured) -> list[float | None]:
    """Round trips in the order of sending."""
    (series,) = (each for each in measured.step["series"] if each["key"] == "ping_rtt_seconds")
    return [value for _, value in sorted(zip(series["t"], series["v"], strict=True))]


def requests(fates: Sequence[Fate]) -> list[Fate]:
    """Each echo request once, in the order of sending."""
    found = [
        fate
        for fate in fates
        if fate.direction == UP and fate.icmp_type == _REQUEST and fate.fate != "double"
    ]
    return sorted(found, key=lambda fate: fate.arrived)


def true_round_trips(fates: Sequence[Fate]) -> list[float | None]:
    """What each request met on the link: both ways added, None if either lost it."""
    back = {
        (fate.icmp_id, fate.icmp_sequence): fate
        for fate in reversed(fates)
        if fate.direction == DOWN and fate.icmp_type == _REPLY and fate.fate != "double"
    }
    found: list[float | None] = []
    for request in requests(fates):
        reply = back.get((request.icmp_id, request.icmp_sequence))
        if request.left is None or reply is None or reply.left is None:
            found.append(None)
        else:
            found.append(request.left - request.arrived + reply.left - reply.arrived)
    return found


def round_trips() -> Iterator[Row]:
    """Medians at four delays, the machine idle and busy."""
    for delay in _ONE_WAY:
        with link(delay=delay) as ends:
            for loaded in (False, True):
                with busy(loaded):
                    ots = ots_ping(ends, 100, 0.02).value("ping_rtt_seconds", "median")
                    said = {
                        "ping": statistics.median(_valid(references.ping(ends, 100, 0.02))),
                        "fping": statistics.median(_valid(references.fping(ends, 100, 0.02))),
                    }
                for name, value in said.items():
                    yield Row(
                        "Round-trip time",
                        f"{delay * 1e3:g} ms one way, {'both cores busy' if loaded else 'idle'}",
                        "median of 100",
                        "ms",
                        2 * delay * 1e3,
                        ots * 1e3,
                        name,
                        value * 1e3,
                        tolerance=max(0.15, 0.01 * 2 * delay * 1e3),
                    )


def losses() -> Iterator[Row]:
    """Lost requests and replies, packet for packet with the books."""
    for loss, seed in ((0.01, 11), (0.05, 12), (0.3, 13)):
        with link(delay=0.005, loss=loss, seed=seed) as ends:
            mine = samples(ots_ping(ends, 1000, 0.002, "--timeout", "0.5 s"))
            truth = true_round_trips(ends.fates())
        wrong = sum((a is None) != (b is None) for a, b in zip(mine, truth, strict=True))
        with link(delay=0.005, loss=loss, seed=seed) as ends:
            theirs = references.ping(ends, 1000, 0.002)
            their_truth = true_round_trips(ends.fates())
        their_wrong = sum((a is None) != (b is None) for a, b in zip(theirs, their_truth, strict=False))
        condition = f"{loss:.0%} each way, 1,000 requests at 500/s"
        yield Row("Loss", condition, "lost", "packets", truth.count(None), mine.count(None), tolerance=0)
        yield Row(
            "Loss", condition, "told wrongly", "packets", 0, wrong, "ping", float(their_wrong), tolerance=0
        )


def variations() -> Iterator[Row]:
    """Jitter against that of the same packets on the link; duplicates and reordering against the books."""
    with link(delay=0.010, jitter=0.005, seed=21) as ends:
        measured = ots_ping(ends, 500, 0.02)
        truth = _jitter(true_round_trips(ends.fates()))
        before = len(requests(ends.fates()))
        theirs = _jitter(references.ping(ends, 500, 0.02))
        their_truth = _jitter(true_round_trips(ends.fates())[before:])
    yield Row(
        "Jitter",
        "10 ms one way + 0 to 5 ms each way, 500 requests",
        "mean |difference of neighbours|",
        "ms",
        truth * 1e3,
        measured.value("ping_jitter_seconds") * 1e3,
        "ping",
        (truth + theirs - their_truth) * 1e3,
        tolerance=0.05,
    )
    with link(delay=0.005, duplicate=0.05, seed=22) as ends:
        measured = ots_ping(ends, 500, 0.01)
        back, there = ends.books()[DOWN], ends.books()[UP]
    # A doubled request is answered twice, and either answer may be doubled again.
    yield Row(
        "Duplicates",
        "5 % each way, 500 requests",
        "further replies",
        "packets",
        back["left"] - there["arrived"],
        measured.value("ping_duplicates"),
        tolerance=0,
    )
    with link(delay=0.005, reorder=0.05, hold=0.015, seed=23) as ends:
        measured = ots_ping(ends, 500, 0.01)
        overtaken = _overtaken(ends)
    yield Row(
        "Reordering",
        "5 % each way held back 15 ms, 500 requests at 100/s",
        "replies out of order",
        "packets",
        overtaken,
        round(measured.value("ping_reordered_ratio") * measured.value("ping_replies_received")),
        tolerance=0,
    )


def _overtaken(ends: EmulatedLink) -> int:
    """Replies that left the link after the reply to a later request (RFC 4737)."""
    fates = ends.fates()
    place = {fate.icmp_sequence: number for number, fate in enumerate(requests(fates))}
    back = [fate for fate in fates if fate.direction == DOWN and fate.icmp_type == _REPLY]
    highest, found = -1, 0
    for fate in sorted(back, key=lambda fate: fate.left or 0.0):
        number = place[fate.icmp_sequence]
        found += number < highest
        highest = max(highest, number)
    return found


def _jitter(rtts: Sequence[float | None]) -> float:
    differences = [abs(b - a) for a, b in pairwise(rtts) if a is not None and b is not None]
    return statistics.mean(differences)


def _valid(rtts: Sequence[float | None]) -> list[float]:
    return [rtt for rtt in rtts if rtt is not None]
