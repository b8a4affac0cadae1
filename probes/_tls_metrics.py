"""What tls_handshake publishes, made from recorded samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ots.i18n import N_
from ots.model.metric import Metric, MetricDef
from ots.netio.connection_metrics import CONNECT_FAILURE_RATIO, DELAY_STATS, TCP_CONNECT_SECONDS
from ots.netio.pooling import by_target
from ots.probe import AttemptData

HANDSHAKE = MetricDef(
    key="tls_handshake_seconds",
    unit="s",
    type="sample",
    title=N_("TLS handshake time"),
    definition=N_("ClientHello sent to handshake finished on our side"),
    stats=DELAY_STATS,
    better="lower",
    source="RFC 8446",
)
RTTS = MetricDef(
    key="tls_handshake_rtts",
    unit="{round_trip}",
    type="sample",
    title=N_("Round trips of the handshake"),
    definition=N_("flights sent and answered until data may be sent"),
    better="lower",
    source="RFC 8446",
)
VERSION = MetricDef(
    key="tls_version",
    unit="1",
    type="state",
    title=N_("TLS version"),
    definition=N_("the protocol version agreed on"),
    stats=("value", "distinct"),
    source="RFC 8446",
)
CIPHER = MetricDef(
    key="tls_cipher",
    unit="1",
    type="state",
    title=N_("Cipher suite"),
    definition=N_("the cipher suite agreed on"),
    stats=("value", "distinct"),
    source="RFC 8446",
)
ALPN = MetricDef(
    key="tls_alpn",
    unit="1",
    type="state",
    title=N_("Application protocol"),
    definition=N_("the application protocol agreed on, of those offered"),
    stats=("value", "distinct"),
    source="RFC 7301",
)
RESUMED = MetricDef(
    key="tls_resumed",
    unit="1",
    type="state",
    title=N_("Session resumed"),
    definition=N_("whether an earlier session shortened the handshake"),
    stats=("value", "distinct"),
    source="RFC 8446",
)
NOT_AFTER = MetricDef(
    key="tls_certificate_not_after_timestamp",
    unit="1",
    type="attempt",
    title=N_("Certificate valid until"),
    definition=N_("end of validity of the first certificate to expire in the chain that the server sends"),
    source="RFC 5280",
)
DAYS_LEFT = MetricDef(
    key="tls_certificate_days_left",
    unit="d",
    type="attempt",
    title=N_("Certificate's days left"),
    definition=N_("days to the end of validity of the first certificate to expire in the chain"),
    better="higher",
    source="RFC 5280",
)
CHAIN_VALID = MetricDef(
    key="tls_chain_valid",
    unit="1",
    type="state",
    title=N_("Certificate chain valid"),
    definition=N_("the chain leads to a trusted authority and every certificate in it is in date"),
    source="RFC 5280",
)
NAME_MATCH = MetricDef(
    key="tls_name_match",
    unit="1",
    type="state",
    title=N_("Certificate names the server"),
    definition=N_("a subject alternative name of the server's certificate is the name asked for"),
    source="RFC 9525",
)

METRICS = (
    HANDSHAKE,
    TCP_CONNECT_SECONDS,
    RTTS,
    VERSION,
    CIPHER,
    ALPN,
    RESUMED,
    NOT_AFTER,
    DAYS_LEFT,
    CHAIN_VALID,
    NAME_MATCH,
    CONNECT_FAILURE_RATIO,
)


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """The metrics of each target; those of which nothing was seen (no certificate, no ALPN) are left out."""
    metrics = []
    for pool in by_target(attempts):
        for definition in METRICS:
            if definition is CONNECT_FAILURE_RATIO:
                metrics.append(pool.lost(definition, HANDSHAKE.key))
            elif definition is HANDSHAKE or any(value is not None for value in pool.values(definition.key)):
                metrics.append(pool.statistics(definition))
    return metrics
