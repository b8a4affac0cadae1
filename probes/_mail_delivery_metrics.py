"""What mail_delivery publishes of a message's way from one server to the other, made from samples. Pure."""

from __future__ import annotations

from ots.i18n import N_
from ots.model.metric import L_STATS, Metric, MetricDef
from ots.netio.mail import mailbox_metrics
from ots.netio.mail.mailbox import Service
from ots.netio.pooling import Pool
from ots.stats import summary

_STATS = ("median", "min", "mean", "p90", "p95", "p99", "max", "stddev")

END_TO_END = MetricDef(
    key="mail_end_to_end_seconds",
    unit="s",
    type="sample",
    title=N_("End-to-end delivery"),
    definition=N_("final 250 of SMTP to the message first visible in the mailbox, by one clock"),
    stats=_STATS,
    better="lower",
    source="ETSI TS 102 250-2 7.1, 7.2",
)
FAILURES = MetricDef(
    key="mail_end_to_end_failure_ratio",
    unit="1",
    type="aggregate",
    title=N_("Failed deliveries"),
    definition=N_("messages not in the mailbox within the window, or changed on the way / messages accepted"),
    better="lower",
    source="ETSI TS 102 250-2 7.1",
)
NOTIFICATION = MetricDef(
    key="mail_notification_seconds",
    unit="s",
    type="sample",
    title=N_("Notification"),
    definition=N_("final 250 of SMTP to IDLE's word that there is a new message"),
    stats=("median", *(stat for stat in L_STATS if stat != "median")),
    better="lower",
    source="ETSI TS 102 250-2 7.1; RFC 2177",
)
POLL_INTERVAL = MetricDef(
    key="mail_poll_interval_seconds",
    unit="s",
    type="attempt",
    title=N_("Resolution by polling"),
    definition=N_("time between two looks into the mailbox: the delivery time is late by up to that"),
    source="RFC 1939",
)
DUPLICATES = MetricDef(
    key="mail_duplicates",
    unit="{message}",
    type="aggregate",
    title=N_("Duplicates"),
    definition=N_("copies of a message beyond the first"),
    better="lower",
)
CORRUPTED = MetricDef(
    key="mail_corrupted",
    unit="{message}",
    type="aggregate",
    title=N_("Changed messages"),
    definition=N_("copies whose text or attachment (SHA-256) is not what was sent"),
    better="lower",
)
IN_SPAM = MetricDef(
    key="mail_in_spam",
    unit="{message}",
    type="aggregate",
    title=N_("Messages in the spam folder"),
    definition=N_("copies that were found in a folder for spam"),
    better="lower",
)
HOPS = MetricDef(
    key="mail_hops",
    unit="{hop}",
    type="attempt",
    title=N_("Servers on the way"),
    definition=N_("Received headers of the message as it arrived"),
    stats=("median", "min", "max"),
    source="RFC 5321 section 4.4",
)
HOP_DELAY = MetricDef(
    key="mail_hop_delay_seconds",
    unit="s",
    type="sample",
    title=N_("Delay of a hop"),
    definition=N_("from one server's Received stamp to the next one's: foreign clocks, whole seconds"),
    stats=("median", "min", "max"),
    better="lower",
    source="RFC 5321 section 4.4",
)

COUNTS = (DUPLICATES, CORRUPTED, IN_SPAM)

_PHASES = ("tls_handshake", "greeting", "starttls", "login", "message")
"""Of the mailbox's session; that of SMTP has all its figures."""

_SERVICES: tuple[Service, ...] = ("imap", "pop3")

MAILBOX = tuple(
    definition
    for prefix in _SERVICES
    for definition in mailbox_metrics.definitions(prefix)
    if definition.key in {mailbox_metrics.key_of(prefix, phase) for phase in _PHASES}
)

METRICS = (END_TO_END, FAILURES, NOTIFICATION, POLL_INTERVAL, *COUNTS, HOPS, HOP_DELAY, *MAILBOX)

_IF_SEEN = (NOTIFICATION, POLL_INTERVAL, HOPS, HOP_DELAY, *MAILBOX)

ACCEPTED = "completed"
"""The trigger point from which on a message counts as sent."""


def is_published(phase: str) -> bool:
    """Whether a phase of the mailbox's session is among the metrics."""
    return phase in _PHASES


def summarise(pool: Pool) -> list[Metric]:
    """The metrics of one target; those that its kind of mailbox has none of are left out."""
    sent = [attempt for attempt in pool.valid if ACCEPTED in attempt.triggers]
    failed = summary.of_ratio(
        FAILURES,
        sum(attempt.outcome == "failure" for attempt in sent),
        len(sent),
        labels={"target": pool.target},
        method=pool.method,
        flags=pool.flags,
    )
    return [
        pool.statistics(END_TO_END),
        failed,
        *(pool.total(definition) for definition in COUNTS),
        *(
            pool.statistics(definition)
            for definition in _IF_SEEN
            if any(value is not None for value in pool.values(definition.key))
        ),
    ]
