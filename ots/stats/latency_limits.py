"""Whether this machine stands in a latency's figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.validity import Finding

LATE = 0.1
"""The event loop's lateness as a share of the latency, from which on it stands in the figure."""

LATE_AT_LEAST = 0.002
"""Seconds of it that are usual: a timer of the loop counts in milliseconds."""

SLIPS = 0.1
"""Share of packets sent late from which on they did not meet the network when they should have."""

_KERNEL = ("kernel", "kernel_rx")
_SLIPS, _COUNT, _SOURCE = "schedule_slips", "count", "timestamp_source"
_CLOCKS, _UNSYNCHRONISED = "clocks", "unsynchronised"


class Observed(Protocol):
    """What is needed of an attempt."""

    @property
    def method(self) -> Mapping[str, Value | None]: ...
    @property
    def flags(self) -> Sequence[QualityFlag]: ...


def own_limit(attempts: Sequence[Observed], latency: float, lag: float | None) -> list[Finding]:
    """`probe_limited` where packets left late, or where our own stamps did. Times in seconds, None: unknown.

    Stamps of the kernel are right however late the process looks at them.
    """
    evidence: dict[str, Value] = {}
    slips = sum(_number(attempt, _SLIPS) for attempt in attempts)
    planned = sum(_number(attempt, _COUNT) for attempt in attempts if _SLIPS in attempt.method)
    if planned and slips >= SLIPS * planned:
        evidence["schedule_slips"] = round(slips)
        evidence["packets_planned"] = round(planned)
    late = lag is not None and lag >= max(LATE_AT_LEAST, LATE * latency)
    if lag is not None and late and not stamped_by_kernel(attempts):
        evidence["loop_lag_p95_seconds"] = round(lag, 6)
        evidence["latency_seconds"] = round(latency, 6)
    return [Finding(code="probe_limited", evidence=evidence)] if evidence else []


def stamped_by_kernel(attempts: Sequence[Observed]) -> bool:
    """Whether all their instants of arrival are the kernel's."""
    return all(attempt.method.get(_SOURCE) in _KERNEL for attempt in attempts)


def unsynchronised_clock(attempts: Sequence[Observed]) -> list[Finding]:
    """Where delays of one way stand on two clocks that nobody keeps together, or ours was set meanwhile."""
    evidence: dict[str, Value] = {}
    apart = sum(attempt.method.get(_CLOCKS) == _UNSYNCHRONISED for attempt in attempts)
    stepped = sum("clock_step" in attempt.flags for attempt in attempts)
    if apart:
        evidence["attempts_between_two_clocks"] = apart
    if stepped:
        evidence["attempts_with_a_clock_step"] = stepped
    return [Finding(code="unsynchronised_clock", evidence=evidence)] if evidence else []


def _number(attempt: Observed, name: str) -> float:
    value = attempt.method.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
