"""The figures of sending one message: the phases of the session, and the generic KPIs of the service."""

from __future__ import annotations

from ots.i18n import N_
from ots.model.metric import L_STATS, Metric, MetricDef
from ots.netio.connection_metrics import TCP_CONNECT_SECONDS
from ots.netio.pooling import Pool
from ots.probe import AttemptData
from ots.stats import service

PREFIX = "smtp"

START = "sending_start"
"""The trigger point with which sending begins (T0); composing the message or opening a mailbox is before."""

_STATS = ("median", *(stat for stat in L_STATS if stat != "median"))


def _phase(name: str, title: str, definition: str, source: str) -> MetricDef:
    return MetricDef(f"{PREFIX}_{name}_seconds", "s", "sample", title, definition, _STATS, "lower", source)


BANNER = _phase(
    "banner", N_("Banner"), N_("connection ready (TLS too, if implicit) to 220"), "RFC 5321 section 3.1"
)
EHLO = _phase("ehlo", N_("EHLO"), N_("EHLO sent to its answer"), "RFC 5321 section 3.2")
HANDSHAKE = _phase(
    "tls_handshake", N_("TLS handshake (implicit)"), N_("ClientHello sent to handshake finished"), "RFC 8314"
)
STARTTLS = _phase("starttls", N_("STARTTLS"), N_("STARTTLS sent to TLS ready"), "RFC 3207")
LOGIN = _phase("login", N_("Log-in time"), N_("AUTH sent to accepted (235)"), "RFC 4954")
ACCEPT = _phase(
    "accept",
    N_("Acceptance"),
    N_("last octet of the message left this machine to final 250"),
    "ETSI TS 102 250-2 7.2",
)
CONTENT = MetricDef(
    "smtp_content_bytes",
    "By",
    "attempt",
    N_("Size of the message"),
    N_("the message as DATA carries it, without doubled dots and the last one"),
    ("median", "min", "max"),
    source="RFC 5321",
)

PHASES = (TCP_CONNECT_SECONDS, BANNER, HANDSHAKE, EHLO, STARTTLS, LOGIN, ACCEPT)

METRICS = (*PHASES, CONTENT, *service.definitions(PREFIX))


def key_of(phase: str) -> str:
    """The metric that a phase of the connection is recorded under."""
    return f"{phase if phase == 'tcp_connect' else f'{PREFIX}_{phase}'}_seconds"


def summarise(pool: Pool) -> list[Metric]:
    """The figures of one target. Phases that no attempt went through (STARTTLS, log-in) are left out."""
    shown = [
        pool.statistics(definition)
        for definition in (*PHASES, CONTENT)
        if definition in (BANNER, ACCEPT, CONTENT) or pool.values(definition.key)
    ]
    return shown + service.kpis(
        PREFIX,
        [_access(attempt) for attempt in pool.attempts if START in attempt.triggers],
        labels={"target": pool.target},
        method=pool.method,
        flags=pool.flags,
    )


def _access(attempt: AttemptData) -> service.Access:
    """The attempt as the generic KPIs see it. Its content counts once the server has accepted it."""
    sizes = [size for size in attempt.values(CONTENT.key) if isinstance(size, int)]
    return service.Access(
        attempt.outcome, attempt.triggers[START], attempt.triggers, sizes[0] if sizes else None
    )
