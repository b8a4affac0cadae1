"""What a transfer's connections waited for, and so what its rate was limited by. Pure.

A sender's kernel books how long it had something to send (busy), and how much of that it had to wait for
the receiver's window or for its own send buffer (TCP_INFO, Linux 4.10); the rest of it is the network's.
When it was not busy, this machine had nothing ready to send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.validity import Finding, FindingCode

MOST = 0.5
"""Share of a connection's time from which on what it waited for is taken to be the limit."""

NEARLY_ALL = 0.8
"""The same for the link: a full bottleneck gives more than 0.9, a busy machine without one has given 0.6."""

_ALL, _BUSY = "sender_seconds", "sender_busy_seconds"
_WINDOW, _BUFFER = "window_limited_seconds", "send_buffer_limited_seconds"
_CEILING = "ceiling_bits_per_second"
_OWN = ("process_cpu_ratio", "load_cpu_ratio", _CEILING)


class Observed(Protocol):
    """What is needed of one load of one attempt."""

    @property
    def method(self) -> Mapping[str, Value | None]: ...
    @property
    def flags(self) -> Sequence[QualityFlag]: ...


def limits(loads: Sequence[Observed]) -> list[Finding]:
    """What limited loads of one direction, as far as it is known."""
    return [*_waited(loads), *_own_limit(loads)]


def _waited(loads: Sequence[Observed]) -> list[Finding]:
    """What the sender's connections waited for most of their time. Every attempt must have told.

    Loopback and a busy peer on the same machine look like a full link, so that the link is named only where
    this machine's ceiling is known: a rate near it has the flag `probe_limited`.
    """
    told = [[_number(load, name) for name in (_ALL, _BUSY, _WINDOW, _BUFFER)] for load in loads]
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
    calibrated = all(_number(load, _CEILING) is not None for load in loads)
    if code is None and calibrated and (busy - window - buffer) / total >= NEARLY_ALL:
        code = "link_limited"
    return [] if code is None else [Finding(code=code, evidence=evidence)]


def _own_limit(loads: Sequence[Observed]) -> list[Finding]:
    limited = [load for load in loads if "probe_limited" in load.flags]
    if not limited:
        return []
    found: dict[str, Value] = {"attempts": len(limited)}
    for name in _OWN:
        figures = [figure for load in limited if (figure := _number(load, name)) is not None]
        if figures:
            found[name] = max(figures)
    return [Finding(code="probe_limited", evidence=found)]


def _number(load: Observed, name: str) -> float | None:
    value = load.method.get(name)
    return float(value) if isinstance(value, int | float) else None
