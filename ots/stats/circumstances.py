"""What disturbed a measurement from outside, or made its figures uncertain. Pure.

The bytes through the interfaces towards the targets are set against those that the run's own probes moved;
what is left over is other traffic. A transfer is held against itself, a latency against a fixed rate: its own
few packets say nothing of the link's capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ots.model.metric import Value
from ots.model.validity import Finding

Change = Literal["interface", "gateway", "address", "link_lost"]

HEADERS = 0.08
"""Headers of Ethernet, IP and TCP around the content, at most: 86 bytes for 1200. Acknowledgements the other
way are less."""

PACKET_HEADERS = 0.5
"""The same for small packets, counted with their IP header: 14 bytes of Ethernet for 28."""

PER_ATTEMPT = 1 << 10
"""Bytes that an attempt may move without booking them: names, handshakes, neighbours."""

DISTURBS = 0.05
"""Other traffic beside a transfer, as a share of what that moved, from which on it is named."""

DISTURBS_LATENCY = 1e6
"""The same beside a latency, in bit/s."""

NOISE = 1 << 16
"""Bytes of other traffic below which nothing is said: any machine's background."""


class Passed(NamedTuple):
    """Bytes through the interfaces (None: not told), and what changed of the way."""

    received_bytes: int | None = None
    sent_bytes: int | None = None
    changes: tuple[Change, ...] = ()


class Passage(NamedTuple):
    """One call of a probe, for one target or for all of them: what passed beside what was the run's own."""

    seconds: float
    passed: Passed
    own_received_bytes: int
    own_sent_bytes: int
    attempts: int = 1


class Circumstances(NamedTuple):
    """Everything around a step's attempts.

    `attachments` counts the different attachments to a network that they began with; `lag` is the 95th
    percentile of the event loop's lateness in seconds, None if nobody looked long enough; `stood_still` is
    the share of the time in which our process was late.
    """

    attachments: int = 1
    concurrent: bool = False
    passages: Sequence[Passage] = ()
    lag: float | None = None
    stood_still: float = 0.0


def cross_traffic(around: Circumstances, *, latency: bool) -> list[Finding]:
    """Other steps of this run, and what the interfaces moved beyond the run's own bytes."""
    evidence: dict[str, Value] = {"concurrent_steps": True} if around.concurrent else {}
    disturbed = [passage for passage in around.passages if _disturbed(passage, latency=latency)]
    if disturbed:
        others = [_others(passage, latency=latency) for passage in disturbed]
        evidence["attempts"] = sum(passage.attempts for passage in disturbed)
        evidence["seconds"] = round(sum(passage.seconds for passage in disturbed), 6)
        evidence["other_received_bytes"] = sum(received for received, _ in others)
        evidence["other_sent_bytes"] = sum(sent for _, sent in others)
    return [Finding(code="cross_traffic", evidence=evidence)] if evidence else []


def quiet(around: Circumstances) -> bool:
    """Whether the interfaces' counters were there to be looked at, all the time."""
    return bool(around.passages) and all(
        passage.passed.received_bytes is not None for passage in around.passages
    )


def _disturbed(passage: Passage, *, latency: bool) -> bool:
    others = sum(_others(passage, latency=latency))
    if others < NOISE:
        return False
    if latency:
        return 8 * others >= DISTURBS_LATENCY * passage.seconds
    return others >= DISTURBS * (passage.own_received_bytes + passage.own_sent_bytes)


def _others(passage: Passage, *, latency: bool) -> tuple[int, int]:
    """Bytes each way that were nobody's of this run, at least."""
    passed = passage.passed
    if passed.received_bytes is None or passed.sent_bytes is None:
        return 0, 0
    received, sent = passage.own_received_bytes, passage.own_sent_bytes
    headers = PACKET_HEADERS if latency else HEADERS
    spared = PER_ATTEMPT * passage.attempts
    return (
        max(0, round(passed.received_bytes - received * (1 + headers) - sent * HEADERS) - spared),
        max(0, round(passed.sent_bytes - sent * (1 + headers) - received * HEADERS) - spared),
    )


def changed_network(around: Circumstances) -> list[Finding]:
    """Another attachment between two attempts, or a change of the way within one."""
    evidence: dict[str, Value] = {}
    if around.attachments > 1:
        evidence["attachments"] = around.attachments
    changes = [change for passage in around.passages for change in passage.passed.changes]
    if changes:
        evidence["changes"] = " ".join(sorted(set(changes)))
    return [Finding(code="changed_network", evidence=evidence)] if evidence else []
