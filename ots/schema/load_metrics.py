"""Metrics of round trips under load (METRICS 3.7).

`responsiveness` makes its own. Any other probe that has round trips (`round_trip`) gets them in a step that
runs `during` another one: there the engine sets the samples of the load's working conditions against those of
an earlier step of the same kind without load.
"""

from __future__ import annotations

from ots.i18n import N_
from ots.model.metric import L_STATS, MetricDef
from ots.schema.kinds import Kind

TIMES = ("median", *(stat for stat in L_STATS if stat != "median"), "tm95")
ATTEMPTS = ("median", "min", "max")

RTT = MetricDef(
    key="load_rtt_seconds",
    unit="s",
    type="sample",
    title=N_("Round-trip time under load"),
    definition="round trips in working conditions of the load; of responsiveness TCP handshakes of new "
    "connections, else the probe's own",
    stats=TIMES,
    better="lower",
    source="RFC 2681",
)
INCREASE = MetricDef(
    key="load_rtt_increase_seconds",
    unit="s",
    type="attempt",
    title=N_("Growth of the round-trip time under load"),
    definition="median (label statistic: median) or 95th percentile (p95) under load - median without load",
    stats=ATTEMPTS,
    better="lower",
    source="Cloudflare AIM: loaded - unloaded",
)
LOSS = MetricDef(
    key="load_loss_ratio",
    unit="1",
    type="aggregate",
    title=N_("Loss under load"),
    definition="round trips of working conditions that got no answer / all of them",
    better="lower",
    source="RFC 6673",
)
JITTER = MetricDef(
    key="load_jitter_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter under load"),
    definition="mean of |rtt(i) - rtt(i-1)| in working conditions",
    better="lower",
    source="derived from RFC 3393",
)
GRADE = MetricDef(
    key="load_bufferbloat_grade",
    unit="1",
    type="state",
    title=N_("Bufferbloat grade"),
    definition="of the median's growth: A+ below 5 ms, A 30, B 60, C 200, D 400, else F",
    stats=("mode", "distinct"),
)

LOADED = (RTT, INCREASE, LOSS, JITTER, GRADE)


def metrics_of(kind: Kind, during: str | None) -> tuple[MetricDef, ...]:
    """What a step may publish, and be judged by."""
    return (*kind.metrics, *LOADED) if during is not None and kind.round_trip else kind.metrics
