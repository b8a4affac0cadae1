"""From a load to the attempt's samples: the same figures whatever protocol moved the bytes."""

from __future__ import annotations

from typing import Any

from ots.model.metric import Value
from ots.model.outcome import ErrorClass
from ots.netio.speed.load import Load
from ots.netio.transfer.limit_facts import limit_facts
from ots.netio.transfer.result import PROBE_LIMITED_CPU
from ots.probe import Failed
from ots.stats import speed
from ots.stats.ceiling import NEAR
from ots.stats.throughput import Curve, Span, full_loading, interval_rates, whole
from ots.stats.transfer import BUDGET_STOP

KEYS = {"down": "speed_download", "up": "speed_upload"}

SERIES_STEP = 0.1
_DECLINED: frozenset[ErrorClass] = frozenset({"rejected", "auth"})
"""Who declines, early or late, has not been measured."""

_LIMIT_SHOWS = 0.25


def record(load: Load, failure: Failed | None, *, cancelled: bool, calibrated: bool = False) -> None:
    """Records what one direction came to.

    `calibrated` says that the load moves its bytes as the HTTP transfers do, whose ceilings are measured.

    A headline needs a load that ran to its end, or one that a person or the data budget cut short: then it is
    a shorter measurement. One that failed has none; what it moved is said all the same.
    """
    ctx, prefix, direction = load.ctx, KEYS[load.direction], load.direction
    budget = load.watch.out_of_budget
    why = "cancelled" if cancelled else "not_reached" if failure is None else failure.error.class_

    def put(name: str, value: Value | None, reason: str = why) -> None:
        ctx.record(f"{prefix}_{name}", value, reason=None if value is not None else reason)

    declined = failure is not None and failure.error.class_ in _DECLINED
    found = None
    if load.told is not None:
        put("bits_per_second", load.told.bits_per_second)
        ctx.record("speed_bytes_used", load.told.bytes, direction=direction)
        ctx.record("speed_connections_used", load.told.connections, direction=direction)
        ctx.record("speed_confidence", "low", direction=direction)
        for name in ("peak_bits_per_second", "trimmed_bits_per_second", "whole_bits_per_second"):
            put(name, None, "not_told")
        ctx.record("speed_ramp_seconds", None, reason="not_told", direction=direction)
    else:
        curve, spans = _delivery(load)
        overall = whole(spans)
        measured = (load.complete or budget or cancelled) and not declined
        loaded = _loaded(load, spans)
        if measured and loaded is not None and overall is not None:
            rule, slowest = load.params.warmup_rule, load.meter.loaded_rtt
            found = speed.figures(curve, loaded, overall.start, rule, _min_rtt(load), slowest)
        short = why if not measured else "too_short"
        put("bits_per_second", None if found is None else found.headline.bits_per_second, short)
        put("peak_bits_per_second", None if found is None else found.peak, short)
        put("trimmed_bits_per_second", None if found is None else found.trimmed, short)
        put("whole_bits_per_second", None if found is None else _whole(curve, overall), short)
        ramp = None if found is None else found.ramp_seconds
        ctx.record(
            "speed_ramp_seconds",
            ramp,
            reason=None if ramp is not None else short if found is None else "not_stable",
            direction=direction,
        )
        ctx.record(
            "speed_confidence",
            None if found is None else found.confidence,
            reason=None if found is not None else short,
            direction=direction,
        )
        ctx.record("speed_connections_used", len(spans), direction=direction)
        ctx.record("speed_bytes_used", load.meter.moved, direction=direction)
        if overall is not None and not declined:
            for t, rate in interval_rates(curve, overall, SERIES_STEP):
                ctx.record(f"{prefix}_interval_bits_per_second", rate, t=t)
    _say_how(load, found, budget=budget, cancelled=cancelled)
    if calibrated and found is not None:
        _compare(load, found.headline.bits_per_second)


def _delivery(load: Load) -> tuple[Curve, list[Span]]:
    if load.delivered is not None:
        return load.delivered
    spans = [flow.span for flow in load.meter.flows if flow.span is not None]
    if load.direction == "up":
        spans = [span for span in spans if span.seconds > 0]
    return load.meter.curve, spans


def _loaded(load: Load, spans: list[Span]) -> Span | None:
    """The time in which every connection ran, ended by the cut."""
    if not spans or (load.complete and len(spans) < len(load.meter.flows)):
        return None
    loaded = full_loading(spans)
    cut = load.watch.cut_at
    if loaded is None or cut is None or load.delivered is not None:
        return loaded
    end = min(loaded.end, cut)
    return Span(loaded.start, end) if end > loaded.start else None


def _whole(curve: Curve, overall: Span | None) -> float | None:
    if overall is None or overall.seconds <= 0 or not curve.total:
        return None
    return 8 * curve.total[-1] / overall.seconds


def _min_rtt(load: Load) -> float | None:
    flows = load.meter.flows
    known = [flow.info.min_rtt for flow in flows if flow.info and flow.info.min_rtt is not None]
    if known:
        return min(known)
    dialled = [
        flow.connected - flow.connect_start
        for flow in flows
        if flow.connected is not None and flow.connect_start is not None
    ]
    return min(dialled, default=None)


def _say_how(load: Load, found: speed.Figures | None, *, budget: bool, cancelled: bool) -> None:
    ctx, watch = load.ctx, load.watch
    stop = BUDGET_STOP if budget else "cancelled" if cancelled else load.stop_reason
    facts: dict[str, Any] = {
        "stop_reason": stop,
        "counted_at": load.counted_at,
        "connections": "auto" if load.adaptive else "fixed",
        "process_cpu_ratio": round(watch.cpu_ratio, 3),
        **load.facts,
    }
    if load.told is None:
        facts["warmup"] = load.params.warmup_rule.name if found is None else found.headline.warmup
        facts["requests"] = sum(flow.requests for flow in load.meter.flows)
    if load.declined_connections:
        facts["connections_declined"] = load.declined_connections
    if found is not None:
        head = found.headline
        facts["warmup_seconds"] = round(head.warmup_seconds, 6)
        facts["window_seconds"] = round(head.window.seconds, 6)
        facts["steady"] = head.steady
        facts |= limit_facts(load.meter, watch, _delivery(load)[0], head.window)
        if head.window.seconds >= _LIMIT_SHOWS and watch.busy_ratio > PROBE_LIMITED_CPU:
            ctx.flag("probe_limited")
        if not head.sufficient:
            ctx.flag("few_samples")
    ctx.method(**{f"{load.direction}_{name}": value for name, value in facts.items()})


def _compare(load: Load, bits_per_second: float) -> None:
    """Beside what this machine reaches by itself, if that is known."""
    kind, tls = f"http_{load.direction}load", "tls_version" in load.facts
    ceiling = load.ctx.ceiling(kind, tls=tls, connections=len(load.meter.flows))
    if ceiling is None:
        return
    load.ctx.method(target=None, **{f"{load.direction}_ceiling_bits_per_second": ceiling})
    if bits_per_second > NEAR * ceiling:
        load.ctx.flag("probe_limited")
