"""What a speed test publishes: the metrics of METRICS 3.6, made from recorded samples. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ots.i18n import N_
from ots.model.metric import L_STATS, Metric, MetricDef, Value
from ots.probe import AttemptData
from ots.stats import summary

_RATE = ("median", "mean", "min", "p10", "p90", "max", "stddev")
_LATENCY = ("median", *(stat for stat in L_STATS if stat != "median"))
_INTERVALS = ("median", "min", "p05", "p10", "mean", "p90", "p95", "max", "cv")


def _rate(key: str, title: str, definition: str, source: str) -> MetricDef:
    return MetricDef(key, "bit/s", "attempt", title, definition, _RATE, "higher", source)


DOWNLOAD = _rate(
    "speed_download_bits_per_second",
    N_("Download"),
    "content bytes of all connections between the end of the warm-up and the cut x 8 / that time",
    "TR-143 time-based; ITU-T Q.3960",
)
UPLOAD = _rate(
    "speed_upload_bits_per_second",
    N_("Upload"),
    "as the download, of bytes that the server received or its TCP acknowledged",
    "TR-143 time-based; ITU-T Q.3960",
)
IDLE_RTT = MetricDef(
    "speed_idle_rtt_seconds",
    "s",
    "sample",
    N_("Round trip without load"),
    "request sent -> first byte of the answer, on an open connection (method.rtt_method)",
    _LATENCY,
    "lower",
    "RFC 2681",
)
IDLE_JITTER = MetricDef(
    "speed_idle_jitter_seconds",
    "s",
    "attempt",
    N_("Jitter without load"),
    "mean of |rtt(i) - rtt(i-1)| before the load",
    ("median", "min", "max"),
    "lower",
    "derived from RFC 3393",
)
_FURTHER = (
    ("peak", "the fastest whole second", "RFC 9097, applied to TCP"),
    (
        "trimmed",
        "20 equal slices without the fastest 10 % and the slowest 30 %, mean of the rest",
        "consumer method published in 2011",
    ),
    ("whole", "all bytes x 8 / (last content - first content)", "project"),
)
_TITLES = {
    ("download", "peak"): N_("Download, fastest second"),
    ("download", "trimmed"): N_("Download, trimmed"),
    ("download", "whole"): N_("Download with warm-up"),
    ("upload", "peak"): N_("Upload, fastest second"),
    ("upload", "trimmed"): N_("Upload, trimmed"),
    ("upload", "whole"): N_("Upload with warm-up"),
}
FURTHER = tuple(
    _rate(f"speed_{way}_{name}_bits_per_second", _TITLES[way, name], definition, source)
    for way in ("download", "upload")
    for name, definition, source in _FURTHER
)
INTERVALS = tuple(
    MetricDef(
        f"speed_{way}_interval_bits_per_second",
        "bit/s",
        "series",
        title,
        "bytes of each tenth of a second from the first content on x 8 / 0.1 s",
        _INTERVALS,
        "higher",
        "TR-143 IncrementalResult",
    )
    for way, title in (
        ("download", N_("Download by intervals")),
        ("upload", N_("Upload by intervals")),
    )
)
CONFIDENCE = MetricDef(
    "speed_confidence",
    "1",
    "state",
    N_("Confidence"),
    "low: fewer than four intervals, or still growing; high: moving averages within 5 %; else medium",
    ("value",),
    source="draft-ietf-ippm-responsiveness-09",
)
RAMP = MetricDef(
    "speed_ramp_seconds",
    "s",
    "attempt",
    N_("Ramp"),
    "first content -> four intervals in a row whose rates vary by less than 5 %",
    ("median", "min", "max"),
    "lower",
    "draft-ietf-ippm-responsiveness-09",
)
CONNECTIONS = MetricDef(
    "speed_connections_used",
    "{connection}",
    "attempt",
    N_("Connections"),
    "connections that ran at the end",
)
BYTES = MetricDef(
    "speed_bytes_used",
    "By",
    "attempt",
    N_("Data used"),
    "content bytes of one direction, those outside the window too",
)
SERVER_RTT = MetricDef(
    "speed_server_rtt_seconds",
    "s",
    "sample",
    N_("Distance of a server"),
    "TCP handshake with each server that could be chosen, three times",
    ("min", "median"),
    "lower",
    "TR-143 ServerSelectionDiagnostics",
)
SERVER = MetricDef(
    "speed_server_id",
    "1",
    "attempt",
    N_("Server"),
    "name of the server that was measured",
)

METRICS = (
    DOWNLOAD,
    UPLOAD,
    IDLE_RTT,
    IDLE_JITTER,
    *FURTHER,
    *INTERVALS,
    CONFIDENCE,
    RAMP,
    CONNECTIONS,
    BYTES,
    SERVER_RTT,
    SERVER,
)

_WAYS = {"download": "down", "upload": "up"}


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """For each target, the metrics of the directions that were tried."""
    made: list[Metric] = []
    for target in dict.fromkeys(attempt.target for attempt in attempts):
        own = [attempt for attempt in attempts if attempt.target == target]
        for definition in METRICS:
            made += _of_key(definition, target, own)
    return made


def _of_key(definition: MetricDef, target: str, attempts: Sequence[AttemptData]) -> list[Metric]:
    labels = {tuple(sorted(found.items())) for one in attempts for found in one.label_sets(definition.key)}
    return [_metric(definition, target, dict(found), attempts) for found in sorted(labels)]


def _metric(
    definition: MetricDef, target: str, labels: Mapping[str, str], attempts: Sequence[AttemptData]
) -> Metric:
    samples = [sample for one in attempts for sample in one.samples(definition.key, **labels)]
    values = [sample.value for sample in samples]
    flags = list(dict.fromkeys(flag for attempt in attempts for flag in attempt.flags))
    method = _method(attempts[-1], _direction(definition.key, labels)) if attempts else {}
    named = {"target": target, **labels}
    reason = next((sample.reason for sample in reversed(samples) if sample.value is None), None)
    present = [value for value in values if value is not None]
    if definition.stats == ("value",):
        return summary.of_value(
            definition,
            present[-1] if present else None,
            n=len(values),
            n_valid=len(present),
            n_lost=len(values) - len(present),
            reason=None if present else reason or "no_samples",
            labels=named,
            method=method,
            flags=flags,
        )
    made = summary.of_samples(definition, values, labels=named, method=method, flags=flags)
    if not present and reason is not None:
        made.nulls = {place: reason for place in made.nulls}
    return made


def _direction(key: str, labels: Mapping[str, str]) -> str | None:
    if "direction" in labels:
        return labels["direction"]
    return next((way for word, way in _WAYS.items() if key.startswith(f"speed_{word}_")), None)


def _method(attempt: AttemptData, direction: str | None) -> dict[str, Value | None]:
    """The method of one direction: its own facts without their prefix, and what both share."""
    prefixes = tuple(f"{way}_" for way in _WAYS.values())
    shared = {name: value for name, value in attempt.method.items() if not name.startswith(prefixes)}
    if direction is None:
        return shared
    own = f"{direction}_"
    return shared | {
        name.removeprefix(own): value for name, value in attempt.method.items() if name.startswith(own)
    }
