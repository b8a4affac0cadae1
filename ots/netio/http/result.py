"""From what a transfer's meter saw to the attempt's samples: the same for every protocol and direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ots.clock import rfc3339, wall_offset
from ots.model.metric import Value
from ots.netio.http.transfer import Meter, Watch
from ots.probe import Context
from ots.stats.throughput import (
    Curve,
    Headline,
    Span,
    Warmup,
    full_loading,
    headline,
    interval_rates,
    whole,
)

PROBE_LIMITED_CPU = 0.85
"""Share of a core from which on our own process is taken to be the limit."""

_SAMPLE, _LONG_SAMPLE, _LONG = 0.1, 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered: the curve of all connections, the span of each that had content, and the volume."""

    curve: Curve
    spans: list[Span]
    content_bytes: int
    test_bytes: int
    cut_at: float | None = None
    eom: float | None = None
    """The last content's instant where it isn't that of the last span: an upload ends with the answer."""


def record(
    ctx: Context,
    prefix: str,
    meter: Meter,
    watch: Watch,
    delivery: Delivery,
    rule: Warmup,
    *,
    completed: float | None,
) -> None:
    """Records everything that can be said of the attempt.

    `completed` is the instant of its end (T6), None if it failed: then there is no headline, but what was
    measured until then is kept.
    """

    def put(name: str, value: Value | None, reason: str = "not_reached") -> None:
        ctx.record(f"{prefix}_{name}", value, reason=None if value is not None else reason)

    overall = _overall(delivery)
    loaded = _loaded(delivery, len(meter.flows))
    found = None
    if completed is not None and loaded is not None:
        found = headline(delivery.curve, loaded, rule, _min_rtt(meter))
    put("bytes_transferred", delivery.content_bytes)
    put("test_bytes", delivery.test_bytes)
    put("connections", len(delivery.spans))
    put("full_loading_seconds", None if loaded is None else loaded.seconds, "no_common_time")
    put(
        "test_bytes_full_loading",
        None if loaded is None else round(delivery.curve.at(loaded.end) - _before(delivery, loaded)),
        "no_common_time",
    )
    if completed is not None:
        put("throughput_bits_per_second", None if found is None else found.bits_per_second, "too_short")
        whole_rate = _whole_rate(delivery, overall)
        put("whole_bits_per_second", whole_rate, "too_short")
        if overall is not None:
            put("transfer_seconds", completed - overall.start)
    _timestamps(put, ctx, meter, overall)
    _series(ctx, prefix, delivery, watch)
    _say_how(ctx, meter, watch, rule, found)


def _overall(delivery: Delivery) -> Span | None:
    overall = whole(delivery.spans)
    if overall is None or delivery.eom is None:
        return overall
    return Span(overall.start, max(overall.end, delivery.eom))


def _loaded(delivery: Delivery, connections: int) -> Span | None:
    """The time in which every connection ran, ended by the cut if there was one."""
    if len(delivery.spans) < connections:
        return None
    loaded = full_loading(delivery.spans)
    if loaded is None or delivery.cut_at is None:
        return loaded
    end = min(loaded.end, delivery.cut_at)
    return Span(loaded.start, end) if end > loaded.start else None


def _before(delivery: Delivery, span: Span) -> float:
    """Bytes that had come before a span; its first read counts in it if it is the very first of all."""
    curve = delivery.curve
    return curve.at(span.start) if curve.t and curve.t[0] < span.start else 0.0


def _whole_rate(delivery: Delivery, overall: Span | None) -> float | None:
    if overall is None or overall.seconds <= 0:
        return None
    return 8 * delivery.test_bytes / overall.seconds


def _min_rtt(meter: Meter) -> float | None:
    """The least round trip that the kernel saw, else the time of a handshake."""
    known = [flow.info.min_rtt for flow in meter.flows if flow.info and flow.info.min_rtt is not None]
    if known:
        return min(known)
    dialled = [
        flow.connected - flow.connect_start
        for flow in meter.flows
        if flow.connected is not None and flow.connect_start is not None
    ]
    return min(dialled, default=None)


def _timestamps(put: Callable[..., None], ctx: Context, meter: Meter, overall: Span | None) -> None:
    offset = wall_offset(ctx.clock)

    def stamp(name: str, instants: list[float | None], pick: Callable[[list[float]], float]) -> None:
        known = [instant for instant in instants if instant is not None]
        put(name, rfc3339(pick(known) + offset) if known else None)

    flows = meter.flows
    stamp("tcp_open_request_timestamp", [flow.connect_start for flow in flows], max)
    stamp("tcp_open_response_timestamp", [flow.connected for flow in flows], max)
    stamp("rom_timestamp", [flow.requested for flow in flows], min)
    stamp("bom_timestamp", [overall.start if overall else None], min)
    stamp("eom_timestamp", [overall.end if overall else None], max)


def _series(ctx: Context, prefix: str, delivery: Delivery, watch: Watch) -> None:
    overall = whole(delivery.spans)
    if overall is not None:
        width = _SAMPLE if overall.seconds <= _LONG else _LONG_SAMPLE
        ctx.method(sample_interval=width)
        for t, rate in interval_rates(delivery.curve, overall, width):
            ctx.record(f"{prefix}_interval_throughput_bits_per_second", rate, t=t)
    for t, rtt in watch.rtts:
        ctx.record(f"{prefix}_tcp_rtt_seconds", rtt, t=t)


def _say_how(ctx: Context, meter: Meter, watch: Watch, rule: Warmup, found: Headline | None) -> None:
    cpu = watch.cpu_ratio
    ctx.method(
        speed_method="steady_mean",
        warmup=rule.name if found is None else found.warmup,
        warmup_seconds=None if found is None else round(found.warmup_seconds, 6),
        window_seconds=None if found is None else round(found.window.seconds, 6),
        steady=None if found is None else found.steady,
        stop_reason=watch.stop_reason,
        requests=sum(flow.requests for flow in meter.flows),
        dials=sum(flow.dials for flow in meter.flows),
        process_cpu_ratio=round(cpu, 3),
    )
    if cpu > PROBE_LIMITED_CPU:
        ctx.flag("probe_limited")
    if found is not None and not found.sufficient:
        ctx.flag("few_samples")
    if any(flow.requests > flow.dials for flow in meter.flows):
        ctx.flag("connection_reused")
