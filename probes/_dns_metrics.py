"""What dns_lookup publishes: the metrics of a DNS lookup, made from recorded samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ots.i18n import N_
from ots.model.metric import Metric, MetricDef
from ots.netio.connection_metrics import DELAY_STATS
from ots.netio.pooling import by_target
from ots.probe import AttemptData

LOOKUP = MetricDef(
    key="dns_lookup_seconds",
    unit="s",
    type="sample",
    title=N_("DNS lookup time"),
    definition=N_(
        "first query sent to complete usable answer, with aliases, repeated queries and TCP fallback"
    ),
    stats=DELAY_STATS,
    better="lower",
    source="ETSI TS 102 250-2 §5.11",
)
QUERY = MetricDef(
    key="dns_query_seconds",
    unit="s",
    type="sample",
    title=N_("DNS query time"),
    definition=N_("one query sent to its response"),
    stats=DELAY_STATS,
    better="lower",
    source="RFC 2681",
)
FAILURES = MetricDef(
    key="dns_failure_ratio",
    unit="1",
    type="aggregate",
    title=N_("Failed lookups"),
    definition=N_("lookups without a usable answer / lookups"),
    better="lower",
    source="ETSI TS 102 250-2 §5.10",
)
TIMEOUTS = MetricDef(
    key="dns_timeouts",
    unit="{query}",
    type="aggregate",
    title=N_("Unanswered queries"),
    definition=N_("queries without a valid response within the timeout"),
    better="lower",
    source="RFC 1035",
)
RETRIES = MetricDef(
    key="dns_retries",
    unit="{query}",
    type="aggregate",
    title=N_("Repeated queries"),
    definition=N_("queries sent again because the one before stayed unanswered"),
    better="lower",
    source="RFC 1035",
)
TRUNCATED = MetricDef(
    key="dns_truncated",
    unit="{response}",
    type="aggregate",
    title=N_("Truncated responses"),
    definition=N_("responses too long for a datagram, asked again over TCP"),
    source="RFC 7766",
)
RCODE = MetricDef(
    key="dns_rcode",
    unit="1",
    type="state",
    title=N_("Response code"),
    definition=N_("the code of each response"),
    stats=("mode", "histogram"),
    source="RFC 1035, RFC 6895",
)
ANSWERS = MetricDef(
    key="dns_answers",
    unit="{record}",
    type="sample",
    title=N_("Records in the answer"),
    definition=N_("records of the type asked, aliases not among them"),
    source="RFC 1035",
)
TTL = MetricDef(
    key="dns_ttl_seconds",
    unit="s",
    type="sample",
    title=N_("Time to live"),
    definition=N_("the shortest time to live among the answer's records"),
    source="RFC 1035",
)
SIZE = MetricDef(
    key="dns_response_bytes",
    unit="By",
    type="sample",
    title=N_("Response size"),
    definition=N_("bytes of a response's DNS message"),
    source="RFC 6891",
)
AUTHENTICATED = MetricDef(
    key="dns_authenticated",
    unit="1",
    type="state",
    title=N_("Authenticated by the resolver"),
    definition=N_("the AD bit: the resolver says that it has checked the answer's signatures"),
    source="RFC 4035",
)
CONNECT = MetricDef(
    key="dns_connect_seconds",
    unit="s",
    type="sample",
    title=N_("Connection to the DNS server"),
    definition=N_("connect() to connected, where the lookup goes over TCP or TLS"),
    stats=DELAY_STATS,
    better="lower",
    source="RFC 7766, RFC 7858",
)
TLS = MetricDef(
    key="dns_tls_seconds",
    unit="s",
    type="sample",
    title=N_("TLS handshake with the DNS server"),
    definition=N_("ClientHello sent to handshake finished, where the lookup goes over TLS"),
    stats=DELAY_STATS,
    better="lower",
    source="RFC 7858",
)

METRICS = (
    LOOKUP,
    QUERY,
    FAILURES,
    TIMEOUTS,
    RETRIES,
    TRUNCATED,
    RCODE,
    ANSWERS,
    TTL,
    SIZE,
    AUTHENTICATED,
    CONNECT,
    TLS,
)
_ALWAYS = (LOOKUP, QUERY, RCODE)
_COUNTS = (TIMEOUTS, RETRIES, TRUNCATED)


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """The metrics of each target; those of which nothing was seen (no TLS, no answer) are left out."""
    metrics = []
    for pool in by_target(attempts):
        for definition in METRICS:
            if definition is FAILURES:
                metrics.append(pool.lost(FAILURES, LOOKUP.key))
            elif definition in _COUNTS:
                metrics.append(pool.total(definition))
            elif definition in _ALWAYS or pool.values(definition.key):
                metrics.append(pool.statistics(definition))
    return metrics
