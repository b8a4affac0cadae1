"""What http_check publishes, made from recorded samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ots.i18n import N_
from ots.model.metric import Metric, MetricDef
from ots.netio.connection_metrics import DELAY_STATS, TCP_CONNECT_SECONDS
from ots.netio.fanout.sweep import POOL_ABOVE
from ots.netio.pooling import by_target
from ots.probe import AttemptData
from ots.probes._tls_metrics import DAYS_LEFT, HANDSHAKE


def _time(name: str, title: str, definition: str) -> MetricDef:
    return MetricDef(
        key=f"http_check{name}_seconds",
        unit="s",
        type="sample",
        title=title,
        definition=definition,
        stats=DELAY_STATS,
        better="lower",
        source="RFC 9110",
    )


CHECK = _time(
    "",
    N_("Check time"),
    N_("name asked to last byte of the answer, redirects included, of checks that passed"),
)
RESOLVE = _time("_resolve", N_("Name lookup"), N_("name asked to address known; addresses take none"))
WAIT = _time(
    "_wait", N_("Wait for the answer"), N_("last byte of the request sent to first byte of the answer")
)
RECEIVE = _time(
    "_receive",
    N_("Receiving the answer"),
    N_("first to last piece of an answer, of those that did not come in one"),
)
STATUS = MetricDef(
    key="http_check_status_code",
    unit="1",
    type="state",
    title=N_("Status"),
    definition=N_("status of the last answer"),
    stats=("value", "histogram"),
    source="RFC 9110",
)
BODY = MetricDef(
    key="http_check_body_bytes",
    unit="By",
    type="sample",
    title=N_("Body"),
    definition=N_("bytes of the last answer's body as they came, without chunk framing"),
    stats=("median", "min", "max"),
    source="RFC 9110",
)
REDIRECTS = MetricDef(
    key="http_check_redirects",
    unit="{redirect}",
    type="sample",
    title=N_("Redirects"),
    definition=N_("redirects followed before the last answer, of checks that had any"),
    stats=("max",),
    better="lower",
    source="RFC 9110",
)
FAILURE_RATIO = MetricDef(
    key="http_check_failure_ratio",
    unit="1",
    type="aggregate",
    title=N_("Failed checks"),
    definition=N_("checks without an answer, or with one that is not as expected / checks made"),
    better="lower",
)

_ALWAYS = (CHECK,)
_WHERE_SEEN = (RESOLVE, TCP_CONNECT_SECONDS, HANDSHAKE, WAIT, RECEIVE, STATUS, BODY, REDIRECTS, DAYS_LEFT)
METRICS = (*_ALWAYS, FAILURE_RATIO, *_WHERE_SEEN)


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """The metrics of each target, or of all together where there are many; those of which nothing was seen
    (no name, no TLS) are left out."""
    metrics = []
    for pool in by_target(attempts, POOL_ABOVE):
        metrics += [pool.statistics(definition) for definition in _ALWAYS]
        metrics.append(pool.lost(FAILURE_RATIO, CHECK.key))
        metrics += [
            pool.statistics(definition)
            for definition in _WHERE_SEEN
            if any(value is not None for value in pool.values(definition.key))
        ]
    return metrics
