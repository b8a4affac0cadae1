"""Metrics of setting up a connection that more than one probe measures, defined once."""

from __future__ import annotations

from ots.i18n import N_
from ots.model.metric import MetricDef

DELAY_STATS = ("median", "min", "mean", "p95", "p99", "max", "stddev")

TCP_CONNECT_SECONDS = MetricDef(
    key="tcp_connect_seconds",
    unit="s",
    type="sample",
    title=N_("TCP connect time"),
    definition=N_("SYN sent to SYN-ACK accepted"),
    stats=DELAY_STATS,
    better="lower",
    source="TR-143; ETSI TS 102 250-2",
)

CONNECT_FAILURE_RATIO = MetricDef(
    key="connect_failure_ratio",
    unit="1",
    type="aggregate",
    title=N_("Failed connections"),
    definition=N_("connections that did not come about / connections tried"),
    better="lower",
)
