"""What responsiveness publishes (METRICS 3.7), made from recorded samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ots.i18n import N_
from ots.model.metric import Metric, MetricDef, Value
from ots.probe import AttemptData
from ots.schema.load_metrics import ATTEMPTS, GRADE, INCREASE, RTT, TIMES
from ots.stats import distribution
from ots.stats.responsiveness import grade
from ots.stats.summary import of_samples

_DRAFT = "draft-ietf-ippm-responsiveness-09"

IDLE_RTT = MetricDef(
    key="load_idle_rtt_seconds",
    unit="s",
    type="sample",
    title=N_("Round-trip time without load"),
    definition="TCP handshake of a new connection before any load",
    stats=TIMES,
    better="lower",
    source="RFC 2681",
)
IDLE_HTTP = MetricDef(
    key="load_idle_http_seconds",
    unit="s",
    type="sample",
    title=N_("HTTP without load"),
    definition="request for the small object -> end of its answer, before any load",
    stats=TIMES,
    better="lower",
)
FOREIGN_TCP = MetricDef(
    key="load_foreign_tcp_seconds",
    unit="s",
    type="sample",
    title=N_("TCP handshake under load"),
    definition="SYN -> SYN/ACK of a new connection in working conditions",
    stats=TIMES,
    better="lower",
    source=_DRAFT,
)
FOREIGN_TLS = MetricDef(
    key="load_foreign_tls_seconds",
    unit="s",
    type="sample",
    title=N_("TLS handshake under load"),
    definition="TLS handshake of a new connection in working conditions / its round trips (TLS 1.3: 1)",
    stats=TIMES,
    better="lower",
    source=_DRAFT,
)
FOREIGN_HTTP = MetricDef(
    key="load_foreign_http_seconds",
    unit="s",
    type="sample",
    title=N_("HTTP under load"),
    definition="request for the small object on a new connection -> end of its answer, in working conditions",
    stats=TIMES,
    better="lower",
    source=_DRAFT,
)
SELF_HTTP = MetricDef(
    key="load_self_http_seconds",
    unit="s",
    type="sample",
    title=N_("Round trip of the load"),
    definition="round trip on a connection that carries load, in working conditions; with HTTP/1.1 TCP's own "
    "(down: the receiver's estimate, up: the smoothed one)",
    stats=TIMES,
    better="lower",
    source=_DRAFT,
)
RPM = MetricDef(
    key="load_responsiveness_rpm",
    unit="{round_trip}/min",
    type="attempt",
    title=N_("Responsiveness under load"),
    definition="(60 / mean of tm95 of tcp, tls, http + 60 / tm95 of self) / 2; without TLS of tcp and http",
    stats=ATTEMPTS,
    better="higher",
    source=_DRAFT,
)
GOODPUT = MetricDef(
    key="load_goodput_bits_per_second",
    unit="bit/s",
    type="attempt",
    title=N_("Goodput of the load"),
    definition="mean of the last four intervals; up: what the peer's TCP acknowledged",
    stats=ATTEMPTS,
    better="higher",
    source=_DRAFT,
)
CONFIDENCE = MetricDef(
    key="load_confidence",
    unit="1",
    type="state",
    title=N_("Confidence"),
    definition="low: fewer than four intervals; medium: not stable, or a load connection failed; high: "
    "goodput and responsiveness stable within 5 %",
    stats=("mode", "distinct"),
    source=_DRAFT,
)

METRICS = (
    RPM,
    GRADE,
    CONFIDENCE,
    INCREASE,
    RTT,
    GOODPUT,
    FOREIGN_TCP,
    FOREIGN_TLS,
    FOREIGN_HTTP,
    SELF_HTTP,
    IDLE_RTT,
    IDLE_HTTP,
)
OF_PROBES = frozenset({RTT.key, FOREIGN_TCP.key, FOREIGN_TLS.key, FOREIGN_HTTP.key, SELF_HTTP.key})
_WAYS = ("down", "up")


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """All metrics of a step, by target."""
    by_target: dict[str, list[AttemptData]] = {}
    for attempt in attempts:
        by_target.setdefault(attempt.target, []).append(attempt)
    return [metric for target, own in by_target.items() for metric in _of_target(target, own)]


def _of_target(target: str, attempts: Sequence[AttemptData]) -> list[Metric]:
    method = dict(next((a.method for a in reversed(attempts) if a.method), {}))
    flags = list(dict.fromkeys(flag for a in attempts for flag in a.flags))

    def made(definition: MetricDef, values: Iterable[Value | None], *more: str, **labels: str) -> Metric:
        return of_samples(
            definition,
            list(values),
            labels={"target": target, **labels},
            method=method,
            flags=[*flags, *more],
        )

    def all_of(definition: MetricDef, **labels: str) -> list[Value | None]:
        return [value for attempt in attempts for value in attempt.values(definition.key, **labels)]

    metrics: list[Metric] = []
    for way in (way for way in _WAYS if any(a.samples(GOODPUT.key, direction=way) for a in attempts)):
        metrics.append(made(RPM, all_of(RPM, direction=way), "derived", direction=way))
        grown = {name: [_growth(a, way, name) for a in attempts] for name in ("median", "p95")}
        grades = [grade(value) for value in grown["median"] if value is not None]
        if grades:
            metrics.append(made(GRADE, grades, direction=way))
        metrics.append(made(CONFIDENCE, all_of(CONFIDENCE, direction=way), direction=way))
        for name, values in grown.items():
            metrics.append(made(INCREASE, values, direction=way, statistic=name))
        metrics.append(made(RTT, all_of(FOREIGN_TCP, direction=way), direction=way))
        metrics.append(made(GOODPUT, all_of(GOODPUT, direction=way), direction=way))
        for definition in (FOREIGN_TCP, FOREIGN_TLS, FOREIGN_HTTP):
            times = all_of(definition, direction=way)
            if times or definition is not FOREIGN_TLS:
                metrics.append(made(definition, times, direction=way))
        metrics.append(made(SELF_HTTP, all_of(SELF_HTTP, direction=way), "derived", direction=way))
    metrics.append(made(IDLE_RTT, all_of(IDLE_RTT)))
    metrics.append(made(IDLE_HTTP, all_of(IDLE_HTTP)))
    return metrics


def _growth(attempt: AttemptData, way: str, statistic: str) -> float | None:
    """A statistic of the loaded round trips less the idle median, within one attempt."""
    idle = _numbers(attempt.values(IDLE_RTT.key))
    loaded = _numbers(attempt.values(FOREIGN_TCP.key, direction=way))
    if not idle or not loaded:
        return None
    value, _reason = distribution.compute(statistic, loaded)
    return value - distribution.median(idle) if isinstance(value, int | float) else None


def _numbers(values: Iterable[Value | None]) -> list[float]:
    return sorted(float(value) for value in values if isinstance(value, int | float))
