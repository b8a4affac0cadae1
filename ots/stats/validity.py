"""The validity grade of a step's throughput, from what its attempts recorded. Pure.

A sender's kernel books how long it had something to send (busy), and how much of that it had to wait for
the receiver's window or for its own send buffer (TCP_INFO, Linux 4.10); the rest of it is the network's.
When it was not busy, this machine had nothing ready to send. Of a download only the other side knows that, so
that its limit isn't known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.validity import Finding, FindingCode, Grade, Validity

MOST = 0.5
"""Share of a sender's time from which on what it waited for is taken to be the limit."""

NEARLY_ALL = 0.8
"""The same for the link: a full bottleneck gives more than 0.9, a busy machine without one has given 0.6."""

_LOWERS: Mapping[FindingCode, Grade] = {
    "probe_limited": "low",
    "window_limited": "low",
    "not_stabilised": "low",
    "changed_network": "low",
    "cross_traffic": "medium",
    "few_samples": "medium",
}

_ALL, _BUSY = "sender_seconds", "sender_busy_seconds"
_WINDOW, _BUFFER = "window_limited_seconds", "send_buffer_limited_seconds"
_CEILING = "ceiling_bits_per_second"
_OWN = ("process_cpu_ratio", _CEILING)


class Observed(Protocol):
    """What is needed of an attempt: how it measured, and what qualifies it."""

    @property
    def method(self) -> Mapping[str, Value | None]: ...
    @property
    def flags(self) -> Sequence[QualityFlag]: ...


def graded(attempts: Sequence[Observed], *, attachments: int, concurrent: bool) -> Validity | None:
    """The grade of attempts that succeeded; None where none of them has a throughput's headline.

    `attachments` counts the different attachments to a network that they began with.
    """
    rated = [attempt for attempt in attempts if attempt.method.get("steady") is not None]
    if not rated:
        return None
    findings = _merged([*_waited(rated), *_own_limit(rated)])
    restless = sum(attempt.method["steady"] is False for attempt in rated)
    if restless:
        findings.append(_finding("not_stabilised", attempts=restless))
    if attachments > 1:
        findings.append(_finding("changed_network", attachments=attachments))
    if concurrent:
        findings.append(_finding("cross_traffic", concurrent_steps=True))
    few = sum("few_samples" in attempt.flags for attempt in rated)
    if few:
        findings.append(_finding("few_samples", attempts=few))
    return Validity(grade=_grade(findings), findings=findings)


def _grade(findings: Iterable[Finding]) -> Grade:
    codes = {finding.code for finding in findings}
    lowered = {_LOWERS[code] for code in codes if code in _LOWERS}
    if "low" in lowered:
        return "low"
    return "high" if "link_limited" in codes and not lowered else "medium"


def _waited(attempts: Sequence[Observed]) -> list[Finding]:
    """What the sender's connections waited for most of their time. Every attempt must have told.

    Loopback and a busy peer on the same machine look like a full link, so that the link is named only where
    this machine's ceiling is known: a rate near it has the flag `probe_limited`.
    """
    told = [[_number(attempt, name) for name in (_ALL, _BUSY, _WINDOW, _BUFFER)] for attempt in attempts]
    if any(figure is None for figures in told for figure in figures):
        return []
    total, busy, window, buffer = (
        sum(figure or 0.0 for figure in column) for column in zip(*told, strict=True)
    )
    if total <= 0:
        return []
    figures = {_ALL: total, _BUSY: busy, _WINDOW: window, _BUFFER: buffer}
    evidence: dict[str, Value] = {name: round(seconds, 6) for name, seconds in figures.items()}
    shares: dict[FindingCode, float] = {
        "window_limited": window,
        "probe_limited": total - busy + buffer,
    }
    code = next((code for code, seconds in shares.items() if seconds / total >= MOST), None)
    calibrated = all(_number(attempt, _CEILING) is not None for attempt in attempts)
    if code is None and calibrated and (busy - window - buffer) / total >= NEARLY_ALL:
        code = "link_limited"
    return [] if code is None else [Finding(code=code, evidence=evidence)]


def _own_limit(attempts: Sequence[Observed]) -> list[Finding]:
    limited = [attempt for attempt in attempts if "probe_limited" in attempt.flags]
    if not limited:
        return []
    found: dict[str, Value] = {"attempts": len(limited)}
    for name in _OWN:
        figures = [figure for attempt in limited if (figure := _number(attempt, name)) is not None]
        if figures:
            found[name] = max(figures)
    return [Finding(code="probe_limited", evidence=found)]


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """Each code once, with all its evidence."""
    by_code: dict[FindingCode, Finding] = {}
    for finding in findings:
        by_code.setdefault(finding.code, _finding(finding.code)).evidence.update(finding.evidence)
    return list(by_code.values())


def _finding(code: FindingCode, **evidence: Value) -> Finding:
    return Finding(code=code, evidence=evidence)


def _number(attempt: Observed, name: str) -> float | None:
    value = attempt.method.get(name)
    return float(value) if isinstance(value, int | float) else None
