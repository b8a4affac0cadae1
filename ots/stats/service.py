"""The generic service KPIs of ETSI TS 102 250-2, from the trigger points of attempts.

They are the same for every client-server transfer (HTTP, FTP, mail …); the metric's key begins with the
service's prefix. Method A throughout: a service is accessible once content flows (T5).

    T0 attempt's start    T1 `resolved`       T2 `connect_start`    T3 `connected`, `tls_done`
    T4 `request_sent`     T5 `first_content`  T6 `completed`        T7 `closed`

Attempts whose outcome is `invalid` or `skipped` are in no denominator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ots.model.metric import Metric, MetricDef, Value
from ots.model.outcome import Outcome
from ots.stats import summary

METHOD = "A"

T2 = "connect_start"
T5 = "first_content"
T6 = "completed"

_SOURCE = "ETSI TS 102 250-2"
_TIMES = ("median", "mean", "min", "p90", "p95", "p99", "max", "stddev")
_RATES = ("median", "mean", "min", "p10", "p90", "max", "stddev")


@dataclass(frozen=True, slots=True)
class Access:
    """One attempt to use a service: when it began and its trigger points, in seconds of one monotonic clock,
    and the content that it transferred."""

    outcome: Outcome
    start: float
    triggers: Mapping[str, float]
    content_bytes: int | None = None

    def reached(self, trigger: str) -> bool:
        return trigger in self.triggers

    def between(self, start: str, stop: str) -> float | None:
        if start in self.triggers and stop in self.triggers:
            return self.triggers[stop] - self.triggers[start]
        return None


def definitions(prefix: str) -> tuple[MetricDef, ...]:
    """The KPIs of one service."""

    def ratio(name: str, title: str, definition: str) -> MetricDef:
        return MetricDef(
            f"{prefix}_{name}", "1", "aggregate", title, definition, better="lower", source=_SOURCE
        )

    def time(name: str, title: str, definition: str) -> MetricDef:
        return MetricDef(f"{prefix}_{name}", "s", "attempt", title, definition, _TIMES, "lower", _SOURCE)

    return (
        ratio(
            "service_non_accessibility_ratio",
            "Service non-accessibility",
            "attempts without first content (T5) / valid attempts",
        ),
        time("setup_time_seconds", "Set-up time", "T5 - T0, successful accesses only"),
        ratio(
            "ip_service_access_failure_ratio",
            "IP service access failures",
            "attempts with a first SYN (T2) but without first content (T5) / attempts with T2",
        ),
        time("ip_service_setup_time_seconds", "IP service set-up time", "T5 - T2"),
        ratio(
            "session_failure_ratio",
            "Session failures",
            "sessions not completed (no T6) / sessions started (T2)",
        ),
        time("session_time_seconds", "Session time", "T6 - T2, completed sessions only"),
        MetricDef(
            f"{prefix}_mean_data_rate_bits_per_second",
            "bit/s",
            "attempt",
            "Mean data rate",
            "8 x content bytes / (T6 - T5), completed transfers only",
            _RATES,
            "higher",
            _SOURCE,
        ),
        MetricDef(
            f"{prefix}_mean_data_rate_pooled_bits_per_second",
            "bit/s",
            "aggregate",
            "Mean data rate, all transfers together",
            "8 x content bytes of all completed transfers / their seconds",
            better="higher",
            source=_SOURCE,
        ),
        ratio(
            "data_transfer_cutoff_ratio",
            "Data transfer cut-offs",
            "transfers with T5 but without T6 / transfers with T5",
        ),
    )


def kpis(
    prefix: str,
    accesses: Sequence[Access],
    *,
    labels: Mapping[str, str] | None = None,
    method: Mapping[str, Value | None] | None = None,
    flags: Sequence[str] = (),
) -> list[Metric]:
    """The KPIs of one service at one target."""
    defined = {definition.key.removeprefix(prefix + "_"): definition for definition in definitions(prefix)}
    valid = [access for access in accesses if access.outcome in ("success", "failure")]
    dialled = [access for access in valid if access.reached(T2)]
    flowing = [access for access in valid if access.reached(T5)]
    facts = {**(method or {}), "etsi_method": METHOD}

    def ratio(name: str, hits: int, n: int) -> Metric:
        return summary.of_ratio(defined[name], hits, n, labels=labels, method=facts, flags=flags)

    def times(name: str, values: Sequence[float | None]) -> Metric:
        return summary.of_samples(defined[name], values, labels=labels, method=facts, flags=flags)

    return [
        ratio("service_non_accessibility_ratio", len(valid) - len(flowing), len(valid)),
        times(
            "setup_time_seconds",
            [access.triggers[T5] - access.start if access.reached(T5) else None for access in valid],
        ),
        ratio(
            "ip_service_access_failure_ratio",
            sum(not access.reached(T5) for access in dialled),
            len(dialled),
        ),
        times("ip_service_setup_time_seconds", [access.between(T2, T5) for access in valid]),
        ratio("session_failure_ratio", sum(not access.reached(T6) for access in dialled), len(dialled)),
        times("session_time_seconds", [access.between(T2, T6) for access in valid]),
        times("mean_data_rate_bits_per_second", [_data_rate(access) for access in valid]),
        _pooled(defined["mean_data_rate_pooled_bits_per_second"], valid, labels, facts, flags),
        ratio("data_transfer_cutoff_ratio", sum(not access.reached(T6) for access in flowing), len(flowing)),
    ]


def _data_rate(access: Access) -> float | None:
    seconds = access.between(T5, T6)
    if not seconds or access.content_bytes is None:
        return None
    return 8 * access.content_bytes / seconds


def _pooled(
    definition: MetricDef,
    valid: Sequence[Access],
    labels: Mapping[str, str] | None,
    method: Mapping[str, Value | None],
    flags: Sequence[str],
) -> Metric:
    completed = [access for access in valid if _data_rate(access) is not None]
    seconds = sum(access.between(T5, T6) or 0.0 for access in completed)
    content = sum(access.content_bytes or 0 for access in completed)
    return summary.of_value(
        definition,
        8 * content / seconds if seconds else None,
        n=len(valid),
        n_lost=len(valid) - len(completed),
        reason=None if seconds else "no_samples",
        labels=labels,
        method=method,
        flags=flags,
    )
