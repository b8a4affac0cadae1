"""The figures of reading a mailbox: the phases of the session, and the generic KPIs of IMAP and of POP3."""

from __future__ import annotations

from ots.i18n import N_
from ots.model.metric import L_STATS, Metric, MetricDef
from ots.netio.connection_metrics import TCP_CONNECT_SECONDS
from ots.netio.mail.mailbox import Service
from ots.netio.pooling import Pool
from ots.probe import AttemptData
from ots.stats import service

_STATS = ("median", *(stat for stat in L_STATS if stat != "median"))
_ETSI = "ETSI TS 102 250-2 7.2"

_PHASES = (
    (
        "tls_handshake",
        N_("TLS handshake (implicit)"),
        N_("ClientHello sent to handshake finished"),
        "RFC 8314",
    ),
    ("greeting", N_("Greeting"), N_("connection ready (TLS too, if implicit) to the server's greeting"), ""),
    ("starttls", N_("STARTTLS"), N_("STARTTLS or STLS sent to TLS ready"), "RFC 2595"),
    ("login", N_("Log-in time"), N_("first command of the log-in sent to accepted"), _ETSI),
    ("inbox", N_("Inbox opened"), N_("EXAMINE or STAT sent to its answer"), ""),
    ("header", N_("List of headers"), N_("headers of the newest messages asked for to all there"), _ETSI),
    ("message", N_("Message"), N_("message asked for (T4) to complete (T6)"), _ETSI),
)
_STANDARD = {"imap": "RFC 3501", "pop3": "RFC 1939"}


def definitions(prefix: Service) -> tuple[MetricDef, ...]:
    """All metrics of one protocol."""
    return (
        TCP_CONNECT_SECONDS,
        *(
            MetricDef(
                f"{prefix}_{name}_seconds",
                "s",
                "sample",
                title,
                definition,
                _STATS,
                "lower",
                source or _STANDARD[prefix],
            )
            for name, title, definition, source in _PHASES
        ),
        MetricDef(
            f"{prefix}_content_bytes",
            "By",
            "attempt",
            N_("Size of the message"),
            N_("bytes of the message as they arrived"),
            ("median", "min", "max"),
            source=_STANDARD[prefix],
        ),
        MetricDef(
            f"{prefix}_mailbox_messages",
            "{message}",
            "attempt",
            N_("Messages in the inbox"),
            N_("what the server says when the inbox is opened"),
            ("median", "min", "max"),
            source=_STANDARD[prefix],
        ),
        *service.definitions(prefix),
    )


def key_of(prefix: Service, phase: str) -> str:
    """The metric that a phase of a connection is recorded under."""
    return f"{phase if phase == 'tcp_connect' else f'{prefix}_{phase}'}_seconds"


def summarise(prefix: Service, pool: Pool) -> list[Metric]:
    """The figures of one target. Phases that no attempt went through (STARTTLS, TLS) are left out."""
    generic = service.definitions(prefix)
    optional = {f"{prefix}_{name}_seconds" for name in ("tls_handshake", "starttls", "header")}
    shown = [
        pool.statistics(definition)
        for definition in definitions(prefix)
        if definition not in generic and (definition.key not in optional or pool.values(definition.key))
    ]
    return shown + service.kpis(
        prefix,
        [_access(prefix, attempt) for attempt in pool.attempts],
        labels={"target": pool.target},
        method=pool.method,
        flags=pool.flags,
    )


def _access(prefix: Service, attempt: AttemptData) -> service.Access:
    """The attempt as the generic KPIs see it."""
    sizes = [size for size in attempt.values(f"{prefix}_content_bytes") if isinstance(size, int)]
    return service.Access(attempt.outcome, attempt.t, attempt.triggers, sizes[0] if sizes else None)
