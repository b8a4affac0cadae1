"""Delay variation, reordering and loss patterns of a stream of packets. Pure.

"Jitter" has many definitions; each function here names the one it computes. Round-trip times come in the
order of sending, None where the packet was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise


def ipdv(rtts: Sequence[float | None]) -> list[float]:
    """Signed D(i) = rtt(i) - rtt(i-1) of neighbours that both arrived (RFC 3393; RFC 5481 §4.1), seconds."""
    return [later - earlier for earlier, later in pairwise(rtts) if earlier is not None and later is not None]


def jitter(differences: Sequence[float]) -> float | None:
    """Mean of |D(i)|, what consumer tools call jitter. 20, 22, 21, 30, 20 ms gives 5.5 ms."""
    return sum(map(abs, differences)) / len(differences) if differences else None


def jitter_rfc3550(differences: Iterable[float]) -> float | None:
    """The smoothed estimate J += (|D| - J) / 16 after the last difference (RFC 3550 §6.4.1).

    20, 22, 21, 30, 20 ms gives 1.310 ms.
    """
    estimate, any_difference = 0.0, False
    for difference in differences:
        estimate += (abs(difference) - estimate) / 16
        any_difference = True
    return estimate if any_difference else None


def pdv(rtts: Iterable[float | None]) -> list[float]:
    """rtt(i) - min rtt of those that arrived (RFC 5481 §4.2), seconds."""
    arrived = [rtt for rtt in rtts if rtt is not None]
    shortest = min(arrived, default=0.0)
    return [rtt - shortest for rtt in arrived]


def loss_bursts(rtts: Iterable[float | None]) -> list[int]:
    """Lengths of the runs of consecutive losses (RFC 3357 loss periods)."""
    return [len(list(run)) for lost, run in groupby(rtts, key=lambda rtt: rtt is None) if lost]


def reordered(sent: Sequence[float], rtts: Sequence[float | None]) -> int:
    """How many replies arrived after one that was asked for later (RFC 4737 type-P-reordered).

    `sent` are ascending send times; the order of arrival follows from them and the round-trip times.
    """
    arrivals = sorted(
        (start + rtt, place)
        for place, (start, rtt) in enumerate(zip(sent, rtts, strict=True))
        if rtt is not None
    )
    behind, furthest = 0, -1
    for _, place in arrivals:
        if place < furthest:
            behind += 1
        else:
            furthest = place
    return behind
