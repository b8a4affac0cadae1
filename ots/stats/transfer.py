"""The KPIs of a large transfer (TR-143, RFC 6349), the same for HTTP and FTP, down and up.

The key begins with the service's prefix (`http_download`). A probe records the attempt's values under these
keys; `metrics` makes the step's metrics from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from ots.model.metric import L_STATS, Metric, MetricDef, MetricType, Value
from ots.model.outcome import Outcome, QualityFlag
from ots.stats import service, summary, throughput

Direction = Literal["down", "up"]

BUDGET_STOP = "data_budget"
"""What `method.stop_reason` says where the data budget cut a transfer short."""

REPORT_INTERVAL = 1.0
"""Seconds over which interval rates are averaged before their statistics are taken."""

_LATENCY = ("median", *(stat for stat in L_STATS if stat != "median"))
_RATE = ("median", "mean", "min", "p10", "p90", "max", "stddev")
_INTERVALS = ("median", "min", "p05", "p10", "mean", "p90", "p95", "max", "cv")
_TR143, _HAR, _RFC6349 = "TR-143", "HAR 1.2", "RFC 6349"


class Seen(Protocol):
    """One observation, or why there is none."""

    @property
    def value(self) -> Value | None: ...
    @property
    def reason(self) -> str | None: ...


class Observed(Protocol):
    """What is needed of an attempt; `ots.probe.AttemptData` has it."""

    @property
    def target(self) -> str: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def t(self) -> float: ...
    @property
    def triggers(self) -> Mapping[str, float]: ...
    @property
    def method(self) -> Mapping[str, Value | None]: ...
    @property
    def flags(self) -> Sequence[QualityFlag]: ...
    def samples(self, key: str, **labels: str) -> Sequence[Seen]: ...
    def values(self, key: str, **labels: str) -> list[Value | None]: ...


def definitions(prefix: str, direction: Direction) -> tuple[MetricDef, ...]:
    """All metrics of one transfer service, the generic ones of `ots.stats.service` at the end."""

    def metric(
        name: str,
        unit: str,
        title: str,
        definition: str,
        source: str = _TR143,
        stats: tuple[str, ...] = ("value",),
        better: Literal["lower", "higher", "neither"] = "neither",
        kind: MetricType = "attempt",
    ) -> MetricDef:
        return MetricDef(f"{prefix}_{name}", unit, kind, title, definition, stats, better, source)

    own = [
        metric(
            "throughput_bits_per_second",
            "bit/s",
            "Throughput",
            "bytes of the steady part of the time that all connections were loaded x 8 / that time",
            stats=_RATE,
            better="higher",
        ),
        metric(
            "bytes_transferred",
            "By",
            "Volume",
            "content bytes of all connections, up to the size box",
            "project",
        ),
        metric(
            "whole_bits_per_second",
            "bit/s",
            "Throughput with warm-up",
            "test bytes x 8 / (latest EOM - earliest BOM)",
            "project",
            _RATE,
            "higher",
        ),
        metric(
            "interval_throughput_bits_per_second",
            "bit/s",
            "Throughput of intervals",
            "bytes of each second from BOM on x 8 / 1 s; the series holds the finer samples",
            stats=_INTERVALS,
            better="higher",
            kind="series",
        ),
        metric(
            "transfer_seconds",
            "s",
            "Transfer time",
            "first content (T5) to last content (T6)",
            "ETSI TS 102 250-2",
            _LATENCY,
        ),
        metric(
            "test_bytes",
            "By",
            "Bytes tested",
            "content up to the size box, with the protocol headers and framing, between BOM and EOM",
        ),
        metric(
            "full_loading_seconds",
            "s",
            "Time under full load",
            "latest BOM to earliest EOM of the connections",
        ),
        metric(
            "test_bytes_full_loading",
            "By",
            "Bytes under full load",
            "content bytes within the time under full load",
        ),
        metric("connections", "{connection}", "Connections", "connections that ran", "project"),
        metric("rom_timestamp", "1", "Request sent at", "earliest request of the connections (ROM)"),
        metric("bom_timestamp", "1", "First content at", "earliest first content (BOM)"),
        metric("eom_timestamp", "1", "Last content at", "latest last content (EOM)"),
        metric(
            "tcp_open_request_timestamp", "1", "Connection opened at", "latest first SYN of the connections"
        ),
        metric("tcp_open_response_timestamp", "1", "Connection ready at", "latest finished TCP handshake"),
        metric(
            "tcp_rtt_seconds",
            "s",
            "TCP round trip",
            "smoothed RTT of TCP_INFO, sampled during the transfer, mean of the connections",
            _RFC6349,
            ("median", "min", "p95", "max"),
            "lower",
            "series",
        ),
        metric(
            "content_valid",
            "1",
            "Content valid",
            "the length, and the hash if one was given, are as expected",
            "project",
        ),
    ]
    if direction == "down":
        own.append(
            metric(
                "time_to_first_byte_seconds",
                "s",
                "Time to first byte",
                "request sent (T4) to first content (T5)",
                _HAR,
                _LATENCY,
                "lower",
            )
        )
    else:
        own.append(
            metric(
                "tcp_retransmits_ratio",
                "1",
                "TCP segments sent again",
                "segments sent again / segments sent (TCP_INFO, our side)",
                _RFC6349,
                better="lower",
            )
        )
        own.append(
            metric(
                "buffer_delay_ratio",
                "1",
                "Delay by buffers",
                "(mean TCP round trip during the transfer - least round trip) / least round trip (TCP_INFO)",
                _RFC6349,
                better="lower",
            )
        )
    return (*own, *service.definitions(prefix))


def metrics(prefix: str, direction: Direction, attempts: Sequence[Observed]) -> list[Metric]:
    """The metrics of a step from its attempts, for each target apart."""
    made: list[Metric] = []
    for target in dict.fromkeys(attempt.target for attempt in attempts):
        own = [attempt for attempt in attempts if attempt.target == target]
        made += _of_target(prefix, direction, target, own)
    return made


def _of_target(prefix: str, direction: Direction, target: str, attempts: Sequence[Observed]) -> list[Metric]:
    labels = {"target": target}
    method = _common(attempts)
    flags = list(dict.fromkeys(flag for attempt in attempts for flag in attempt.flags))
    generic = service.definitions(prefix)
    made = [
        _metric(definition, attempts, labels, method, flags)
        for definition in definitions(prefix, direction)
        if definition not in generic
    ]
    accesses = [
        service.Access(
            attempt.outcome, attempt.t, attempt.triggers, _integer(attempt, f"{prefix}_bytes_transferred")
        )
        for attempt in attempts
    ]
    return made + service.kpis(prefix, accesses, labels=labels, method=method, flags=flags)


def _metric(
    definition: MetricDef,
    attempts: Sequence[Observed],
    labels: Mapping[str, str],
    method: Mapping[str, Value | None],
    flags: Sequence[str],
) -> Metric:
    if definition.type == "series":
        values = [value for attempt in attempts for value in _series(definition, attempt)]
        return summary.of_samples(definition, values, labels=labels, method=method, flags=flags)
    seen = [_seen(definition, attempt) for attempt in attempts]
    valid = [sample for sample in seen if sample is not None]
    values = [value for value, _ in valid]
    reason = next((reason for value, reason in reversed(valid) if value is None), None) or "no_samples"
    if definition.stats == ("value",):
        return _latest(definition, values, len(attempts), reason, labels, method, flags)
    made = summary.of_samples(
        definition, values, labels=labels, invalid=len(attempts) - len(valid), method=method, flags=flags
    )
    if not made.n_valid:
        made.nulls = {place: reason for place in made.nulls}
    return made


def _seen(definition: MetricDef, attempt: Observed) -> tuple[Value | None, str | None] | None:
    """What an attempt says under a key, with the reason where that is nothing; None if it is invalid.

    The end of the data budget makes an attempt invalid, and what was measured before it is still true.
    """
    sample = next(iter(attempt.samples(definition.key)), None)
    value, reason = (None, None) if sample is None else (sample.value, sample.reason)
    if attempt.outcome in ("success", "failure"):
        return value, reason
    return (value, None) if value is not None and attempt.method.get("stop_reason") == BUDGET_STOP else None


def _latest(
    definition: MetricDef,
    values: Sequence[Value | None],
    n: int,
    reason: str,
    labels: Mapping[str, str],
    method: Mapping[str, Value | None],
    flags: Sequence[str],
) -> Metric:
    """A metric without statistics shows the last attempt that has it; all are in the series."""
    present = [value for value in values if value is not None]
    return summary.of_value(
        definition,
        present[-1] if present else None,
        n=n,
        n_valid=len(present),
        n_lost=len(values) - len(present),
        reason=None if present else reason,
        labels=labels,
        method=method,
        flags=flags,
    )


def _series(definition: MetricDef, attempt: Observed) -> list[Value | None]:
    values = attempt.values(definition.key)
    width = attempt.method.get("sample_interval")
    if not definition.key.endswith("interval_throughput_bits_per_second") or not isinstance(width, float):
        return values
    rates = [float(value) for value in values if isinstance(value, int | float)]
    return list(throughput.grouped(rates, width, REPORT_INTERVAL))


def _integer(attempt: Observed, key: str) -> int | None:
    value = next(iter(attempt.values(key)), None)
    return value if isinstance(value, int) else None


def _common(attempts: Sequence[Observed]) -> dict[str, Value | None]:
    """What all attempts say alike about how they measured; `varies` where they don't."""
    facts: dict[str, Value | None] = {}
    for attempt in attempts:
        for name, value in attempt.method.items():
            facts[name] = value if facts.get(name, value) == value else "varies"
    return facts
