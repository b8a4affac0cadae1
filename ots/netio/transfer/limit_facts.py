"""What an attempt says of its limits, for the grade of its validity (`ots.stats.transfer_limits`)."""

from __future__ import annotations

from ots.model.metric import Value
from ots.netio.transfer.meter import Meter
from ots.netio.transfer.watch import Watch
from ots.stats.course import drift, paused
from ots.stats.throughput import Curve, Span

_DRIFT_SHOWS = 2.0
"""Seconds that a window needs before its two halves can be held against each other."""


def limit_facts(meter: Meter, watch: Watch, curve: Curve, window: Span | None) -> dict[str, Value | None]:
    """Facts for the record of one direction; `window` is that of the headline."""
    rtt = meter.min_rtt
    facts: dict[str, Value | None] = {"min_rtt_seconds": None if rtt is None else round(rtt, 6)}
    facts |= watch.holdups.facts()
    if watch.sent:
        facts |= _sender(meter)
    if window is not None:
        changed = drift(curve, window) if window.seconds >= _DRIFT_SHOWS else None
        facts["rate_drift"] = None if changed is None else round(changed, 3)
        if not watch.sent and rtt is not None:
            facts["paused_seconds"] = round(paused(curve, window, rtt), 6)
    return facts


def _sender(meter: Meter) -> dict[str, Value | None]:
    infos = [flow.info for flow in meter.flows if flow.info is not None]
    spans = [
        None if flow.begin is None or flow.end is None else flow.end - flow.begin for flow in meter.flows
    ]
    return {
        "sender_seconds": _together(spans),
        "sender_busy_seconds": _together([info.busy for info in infos]),
        "window_limited_seconds": _together([info.window_limited for info in infos]),
        "send_buffer_limited_seconds": _together([info.buffer_limited for info in infos]),
    }


def _together(seconds: list[float | None]) -> float | None:
    """The sum over all connections; None unless each of them told."""
    known = [each for each in seconds if each is not None]
    return round(sum(known), 6) if known and len(known) == len(seconds) else None
