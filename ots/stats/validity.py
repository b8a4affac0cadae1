"""The validity grade of a step's throughput or latency, from what its attempts recorded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.validity import Finding, FindingCode, Grade, Validity
from ots.stats import latency_limits
from ots.stats.circumstances import Circumstances, changed_network, cross_traffic, quiet
from ots.stats.transfer_limits import limits, unsteady

_LOWERS: Mapping[FindingCode, Grade] = {
    "probe_limited": "low",
    "server_limited": "low",
    "window_limited": "low",
    "not_stabilised": "low",
    "changed_network": "low",
    "cross_traffic": "medium",
    "unsynchronised_clock": "medium",
    "few_samples": "medium",
}

_DIRECTIONS = ("", "down_", "up_")
"""What the facts of a load are called by: those of a test of both directions say which one."""

_STEADY = ("steady", "goodput_stable")


class Observed(Protocol):
    """What is needed of an attempt: how it measured, and what qualifies it."""

    @property
    def method(self) -> Mapping[str, Value | None]: ...
    @property
    def flags(self) -> Sequence[QualityFlag]: ...


class _Load(NamedTuple):
    """One direction of one attempt, its facts without the direction."""

    method: Mapping[str, Value | None]
    flags: Sequence[QualityFlag]
    steady: bool


_NOTHING = Circumstances()


def graded(
    attempts: Sequence[Observed], around: Circumstances = _NOTHING, *, latency: float | None = None
) -> Validity | None:
    """The grade of attempts that succeeded; None where they have no throughput and no latency.

    `latency` is what they say of that, in seconds.
    """
    loads = {direction: _loads(attempts, direction) for direction in _DIRECTIONS}
    loads = {direction: rated for direction, rated in loads.items() if rated}
    if loads:
        return _of_throughput(attempts, loads, around)
    transferred = any(_steadiness(attempt, direction)[0] for attempt in attempts for direction in _DIRECTIONS)
    return None if latency is None or transferred else _of_latency(attempts, around, latency)


def _of_throughput(
    attempts: Sequence[Observed], loads: Mapping[str, Sequence[_Load]], around: Circumstances
) -> Validity:
    findings: list[Finding] = []
    full = True
    for direction, rated in loads.items():
        own = limits(rated, around.stood_still)
        restless = sum(not load.steady or unsteady(load) for load in rated)
        if restless:
            own.append(Finding(code="not_stabilised", evidence={"attempts": restless}))
        full = full and any(finding.code == "link_limited" for finding in own)
        findings += [_named(finding, direction) for finding in own]
    findings += [*_few(attempts), *changed_network(around), *cross_traffic(around, latency=False)]
    return _validity(findings, sure=full)


def _of_latency(attempts: Sequence[Observed], around: Circumstances, latency: float) -> Validity:
    findings = [
        *latency_limits.own_limit(attempts, latency, around.lag),
        *latency_limits.unsynchronised_clock(attempts),
        *changed_network(around),
        *cross_traffic(around, latency=True),
        *_few(attempts),
    ]
    return _validity(findings, sure=latency_limits.stamped_by_kernel(attempts) and quiet(around))


def _validity(findings: Iterable[Finding], *, sure: bool) -> Validity:
    """Each finding once; `sure` says that what was found is enough for a high grade, if nothing lowers it."""
    by_code: dict[FindingCode, Finding] = {}
    for finding in findings:
        by_code.setdefault(finding.code, Finding(code=finding.code, evidence={})).evidence.update(
            finding.evidence
        )
    lowered = {_LOWERS[code] for code in by_code if code in _LOWERS}
    grade: Grade = "low" if "low" in lowered else "high" if sure and not lowered else "medium"
    return Validity(grade=grade, findings=list(by_code.values()))


def _loads(attempts: Sequence[Observed], direction: str) -> list[_Load]:
    """The attempts that have a headline of this direction."""
    found = []
    for attempt in attempts:
        _known, steady = _steadiness(attempt, direction)
        if steady is not None:
            method = {name.removeprefix(direction): value for name, value in attempt.method.items()}
            found.append(_Load(method, attempt.flags, bool(steady)))
    return found


def _steadiness(attempt: Observed, direction: str) -> tuple[bool, Value | None]:
    """Whether it had such a load, and whether that had settled; None where it has no headline."""
    names = [direction + name for name in _STEADY if direction + name in attempt.method]
    return bool(names), attempt.method[names[0]] if names else None


def _few(attempts: Sequence[Observed]) -> list[Finding]:
    few = sum("few_samples" in attempt.flags for attempt in attempts)
    return [Finding(code="few_samples", evidence={"attempts": few})] if few else []


def _named(finding: Finding, direction: str) -> Finding:
    evidence = {direction + name: value for name, value in finding.evidence.items()}
    return Finding(code=finding.code, evidence=evidence)
