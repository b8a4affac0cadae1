"""From what a transfer's meter saw to the attempt's samples: the same for every protocol and direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ots.clock import rfc3339, wall_offset
from ots.model.metric import Value
from ots.model.outcome import ErrorClass
from ots.netio.transfer.limit_facts import limit_facts
from ots.netio.transfer.meter import Meter
from ots.netio.transfer.watch import Watch
from ots.probe import Context, Failed
from ots.stats.ceiling import NEAR
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
from ots.stats.transfer import BUDGET_STOP

PROBE_LIMITED_CPU = 0.85
"""Share of a core from which on our own process is taken to be the limit."""

_LIMIT_SHOWS = 0.25
"""Seconds that a window needs before our own load can have limited it: less is mostly the set-up."""

_DECLINED: frozenset[ErrorClass] = frozenset({"rejected", "auth"})
"""Who declines a transfer, early or late, has not been measured with it."""

_FIGURES = (
    "bytes_transferred",
    "test_bytes",
    "connections",
    "full_loading_seconds",
    "test_bytes_full_loading",
    "throughput_bits_per_second",
    "whole_bits_per_second",
    "transfer_seconds",
)

_SAMPLE, _LONG_SAMPLE, _LONG = 0.1, 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered: the curve of all connections, the span of each that had content, and the volume.

    `content_bytes` ends at the size box if there is one, `test_bytes` is that with the headers and framing
    that came around it.
    """

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
    failure: Failed | None,
    tls: bool = False,
) -> None:
    """Records everything that can be said of the attempt.

    `completed` is the instant of its end (T6), None if it failed: then there is no headline, but what was
    measured until then is kept. The end of the data budget is a cut like another: the headline stands. Of a
    transfer that the other side declined nothing counts.
    """
    why: str = "not_reached" if failure is None else failure.error.class_

    def put(name: str, value: Value | None, reason: str = why) -> None:
        ctx.record(f"{prefix}_{name}", value, reason=None if value is not None else reason)

    if failure is not None and failure.error.class_ in _DECLINED:
        for name in _FIGURES:
            put(name, None)
        _timestamps(put, ctx, meter, None)
        _say_how(ctx, meter, watch, rule, None)
        return
    overall = _overall(delivery)
    loaded = _loaded(delivery, len(meter.flows))
    measured = completed is not None or watch.out_of_budget
    found = None
    if measured and loaded is not None:
        found = headline(delivery.curve, loaded, rule, meter.min_rtt, meter.loaded_rtt)
    put("bytes_transferred", delivery.content_bytes)
    put("test_bytes", delivery.test_bytes)
    put("connections", len(delivery.spans))
    put("full_loading_seconds", None if loaded is None else loaded.seconds, "no_common_time")
    put(
        "test_bytes_full_loading",
        None if loaded is None else round(delivery.curve.at(loaded.end) - _before(delivery, loaded)),
        "no_common_time",
    )
    reason = "too_short" if measured else why
    put("throughput_bits_per_second", None if found is None else found.bits_per_second, reason)
    put("whole_bits_per_second", _whole_rate(delivery, overall) if measured else None, reason)
    took = None if completed is None or overall is None else completed - overall.start
    put("transfer_seconds", took)
    _timestamps(put, ctx, meter, overall)
    _series(ctx, prefix, delivery, watch)
    if found is not None and found.window.seconds >= _LIMIT_SHOWS:
        _compare(ctx, prefix, len(meter.flows), found.bits_per_second, tls=tls)
    _say_how(ctx, meter, watch, rule, found)
    window = None if found is None else found.window
    for name, fact in limit_facts(meter, watch, delivery.curve, window).items():
        ctx.method(target=None, **{name: fact})


def record_sender(ctx: Context, prefix: str, meter: Meter, watch: Watch) -> None:
    """What only the side that sends knows of the path (RFC 6349): segments sent again, the queue's delay."""
    infos = [flow.info for flow in meter.flows if flow.info is not None]
    sent = sum(info.segments_sent or 0 for info in infos)
    again = sum(info.retransmits for info in infos)
    ctx.record(
        f"{prefix}_tcp_retransmits_ratio",
        again / sent if sent else None,
        reason=None if sent else "not_reached",
    )
    idle, loaded = meter.min_rtt, [rtt for _, rtt in watch.rtts]
    known = bool(idle and loaded)
    ctx.record(
        f"{prefix}_buffer_delay_ratio",
        sum(loaded) / len(loaded) / idle - 1 if idle and loaded else None,
        reason=None if known else "not_reached",
    )


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
    ctx.method(
        speed_method="steady_mean",
        warmup=rule.name if found is None else found.warmup,
        warmup_seconds=None if found is None else round(found.warmup_seconds, 6),
        window_start_timestamp=(
            None if found is None else rfc3339(found.window.start + wall_offset(ctx.clock))
        ),
        window_seconds=None if found is None else round(found.window.seconds, 6),
        steady=None if found is None else found.steady,
        stop_reason=BUDGET_STOP if watch.out_of_budget else watch.stop_reason,
        requests=sum(flow.requests for flow in meter.flows),
        dials=sum(flow.dials for flow in meter.flows),
        process_cpu_ratio=round(watch.cpu_ratio, 3),
        process_cpu_seconds=round(watch.cpu_seconds, 6),
    )
    if found is not None and found.window.seconds >= _LIMIT_SHOWS and watch.busy_ratio > PROBE_LIMITED_CPU:
        ctx.flag("probe_limited")
    if found is not None and not found.sufficient:
        ctx.flag("few_samples")
    if any(flow.requests > flow.dials for flow in meter.flows):
        ctx.flag("connection_reused")


def _compare(ctx: Context, prefix: str, connections: int, bits_per_second: float, *, tls: bool) -> None:
    """Beside what this machine reaches by itself, if that is known."""
    ceiling = ctx.ceiling(prefix, tls=tls, connections=connections)
    if ceiling is None:
        return
    ctx.method(ceiling_bits_per_second=ceiling)
    if bits_per_second > NEAR * ceiling:
        ctx.flag("probe_limited")
