"""What a transfer's rate was limited by. Pure.

A sender's kernel books how long it had something to send (busy), and how much of that it had to wait for
the receiver's window or for its own send buffer (TCP_INFO, Linux 4.10); the rest of it is the network's.
When it was not busy, this machine had nothing ready to send; when all was sent and not yet acknowledged, the
send buffer held too little.

A receiver sees less: whether its window was full, whether its own process left bytes unread, whether the
sender paused, and whether round trips grew, which is a queue that stands before the bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.validity import Finding, FindingCode

MOST = 0.5
"""Share of the connections' time from which on what held them up is taken to be the limit."""

NEARLY_ALL = 0.8
"""The same for a sender's link: a full bottleneck gives more than 0.9, a busy machine without one 0.6."""

TAKEN_BACK = 0.5
"""Share of the largest window that a receiver has offered: with less on average it isn't its buffer that is
small, but it doesn't read what is in there."""

QUEUE, QUEUE_AT_LEAST = 0.15, 0.0005
"""Growth of the round trip, as a share of the least and in seconds, from which on a queue stands."""

BURSTS = 3.0
"""A sender that pauses makes the receiver's round trip longer by its pauses: growth must be so many times the
mean time since the last segment."""

STANDS = 1.5
"""Growth of the round trip with which a full window only makes the queue longer."""

DRIFT = 1.25
"""Factor between the two halves of a transfer from which on its rate has not held."""

_CEILING = "ceiling_bits_per_second"
_OWN = ("process_cpu_ratio", "load_cpu_ratio", _CEILING)
_SENDER = ("sender_seconds", "sender_busy_seconds", "window_limited_seconds", "send_buffer_limited_seconds")


class Observed(Protocol):
    """What is needed of one load of one attempt."""

    @property
    def method(self) -> Mapping[str, Value | None]: ...
    @property
    def flags(self) -> Sequence[QualityFlag]: ...


def limits(loads: Sequence[Observed], stood_still: float = 0.0) -> list[Finding]:
    """What limited loads of one direction, as far as it is known.

    `stood_still` is the share of the time in which our own process did nothing though it should have.
    """
    told = [_Facts(load) for load in loads]
    calibrated = all(load.method.get(_CEILING) is not None for load in loads)
    own = _own_limit(loads)
    if stood_still >= MOST:
        # What its connections seem to have waited for is then its own absence.
        return [Finding(code="probe_limited", evidence={"stood_still_ratio": round(stood_still, 3)}), *own]
    if all(facts.has(*_SENDER) for facts in told):
        held_up = _as_sender(told, calibrated=calibrated)
    elif all(facts.has("watched_seconds", "quiet_mean_seconds", "min_rtt_seconds") for facts in told):
        held_up = _as_receiver(told, calibrated=calibrated and not own)
    else:
        held_up = []
    return [*held_up, *own]


def unsteady(load: Observed) -> bool:
    """Whether the rate of a load that had settled by its middle did not hold after that."""
    drift = load.method.get("rate_drift")
    return isinstance(drift, int | float) and not 1 / DRIFT <= drift <= DRIFT


class _Facts:
    """The figures of one load."""

    def __init__(self, load: Observed) -> None:
        self._method = load.method

    def has(self, *names: str) -> bool:
        return all(isinstance(self._method.get(name), int | float) for name in names)

    def get(self, name: str) -> float:
        value = self._method.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def grown(self) -> float:
        """The round trip under load over the least one."""
        least = self.get("min_rtt_seconds")
        return self.get("loaded_rtt_seconds") / least if least > 0 else 0.0

    @property
    def queue_stands(self) -> bool:
        least, grown_by = self.get("min_rtt_seconds"), self.get("loaded_rtt_seconds")
        grown_by -= least
        return grown_by >= max(QUEUE_AT_LEAST, QUEUE * least, BURSTS * self.get("quiet_mean_seconds"))


def _as_sender(told: Sequence[_Facts], *, calibrated: bool) -> list[Finding]:
    """Loopback and a busy peer on the same machine look like a full link, so that the link is named only
    where this machine's ceiling is known: a rate near it has the flag `probe_limited`."""
    total, busy, window, buffer = (_sum(told, name) for name in _SENDER)
    if total <= 0:
        return []
    watched = _sum(told, "watched_seconds")
    full = _sum(told, "window_full_seconds") / watched if watched else 0.0
    held = max(window / total, full)
    # A window that closes holds acknowledgements back, too: then longer round trips are no queue.
    if held >= MOST and all(0 < facts.get("peer_window_share") < TAKEN_BACK for facts in told):
        return [_finding("server_limited", told, *_WINDOW, *_SENDER)]
    if held >= MOST and all(facts.grown < STANDS for facts in told):
        return [_finding("window_limited", told, *_WINDOW, *_SENDER)]
    drained = watched > 0 and _sum(told, "all_sent_seconds") >= MOST * watched
    if drained or (total - busy + buffer) / total >= MOST:
        return [_finding("probe_limited", told, "all_sent_seconds", "watched_seconds", *_SENDER)]
    if calibrated and (busy - window - buffer) / total >= NEARLY_ALL:
        return [_finding("link_limited", told, *_SENDER)]
    return []


def _as_receiver(told: Sequence[_Facts], *, calibrated: bool) -> list[Finding]:
    watched = _sum(told, "watched_seconds")
    if watched <= 0:
        return []
    if _sum(told, "unread_seconds") >= MOST * watched:
        return [_finding("probe_limited", told, "unread_seconds", "watched_seconds")]
    full = _sum(told, "window_full_seconds") >= MOST * watched
    if full and all(facts.grown < STANDS for facts in told):
        return [_finding("window_limited", told, *_WINDOW)]
    if _sum(told, "paused_seconds") >= MOST * _sum(told, "window_seconds") > 0:
        return [_finding("server_limited", told, "paused_seconds", "window_seconds")]
    if calibrated and all(facts.queue_stands for facts in told):
        return [_finding("link_limited", told, *_QUEUE)]
    return []


_WINDOW = (
    "window_full_seconds",
    "watched_seconds",
    "peer_window_share",
    "loaded_rtt_seconds",
    "min_rtt_seconds",
)
_QUEUE = ("loaded_rtt_seconds", "min_rtt_seconds", "quiet_mean_seconds")
_MEANS = (*_QUEUE, "peer_window_share")


def _finding(code: FindingCode, told: Sequence[_Facts], *names: str) -> Finding:
    """With its figures: times of all attempts together, the mean of what isn't a sum."""
    evidence: dict[str, Value] = {}
    for name in names:
        known = [facts.get(name) for facts in told if facts.has(name)]
        if known:
            evidence[name] = round(sum(known) / (len(known) if name in _MEANS else 1), 6)
    return Finding(code=code, evidence=evidence)


def _sum(told: Sequence[_Facts], name: str) -> float:
    return sum(facts.get(name) for facts in told)


def _own_limit(loads: Sequence[Observed]) -> list[Finding]:
    limited = [load for load in loads if "probe_limited" in load.flags]
    if not limited:
        return []
    found: dict[str, Value] = {"attempts": len(limited)}
    for name in _OWN:
        figures = [facts.get(name) for load in limited if (facts := _Facts(load)).has(name)]
        if figures:
            found[name] = max(figures)
    return [Finding(code="probe_limited", evidence=found)]
