"""What web_page publishes: recorded from a page load, and made into metrics. The latter is pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ots.i18n import N_
from ots.model.metric import Metric, MetricDef, MetricType
from ots.netio.connection_metrics import DELAY_STATS
from ots.netio.pooling import Pool, by_target
from ots.netio.web.exchange import Exchange
from ots.netio.web.page import Page
from ots.probe import AttemptData, Context, Failed
from ots.stats import service, summary

BEGIN = "load_start"
"""Trigger point: from here on everything is the page's."""

_HAR, _ETSI, _TIMING = "HAR 1.2", "ETSI TS 102 250-2 §6.8", "W3C Resource Timing"
_PAGE_STATS = ("median", "min", "mean", "p75", "p95", "p99", "max", "stddev")


def _time(
    name: str,
    title: str,
    definition: str,
    source: str,
    stats: tuple[str, ...] = DELAY_STATS,
    kind: MetricType = "sample",
) -> MetricDef:
    return MetricDef(f"web_{name}_seconds", "s", kind, title, definition, stats, "lower", source)


PAGE = _time(
    "page",
    N_("Page load time (light mode)"),
    N_(
        "attempt start to last byte of the document and of its statically discoverable resources (img, css, "
        "js); not rendered, no script runs"
    ),
    _ETSI,
    _PAGE_STATS,
    "attempt",
)
HTML = _time("html", N_("Document load time"), N_("attempt start to last byte of the main document"), _ETSI)
TTFB = _time(
    "ttfb",
    N_("Time to first byte"),
    N_("attempt start (redirects, DNS, connect, TLS included) to first byte of the final response"),
    "web.dev TTFB",
    _PAGE_STATS,
)
DNS = _time("dns", N_("Name lookup"), N_("name asked to address known, of each name of the page"), _HAR)
CONNECT = _time(
    "connect",
    N_("Connection set-up"),
    N_("SYN sent to connection ready, TLS included, of each connection"),
    _HAR,
)
TLS = _time(
    "tls", N_("TLS handshake"), N_("ClientHello sent to handshake finished, of each connection"), _HAR
)
SEND = _time(
    "send",
    N_("Sending the request"),
    N_("connection ready to last byte of the request written, of each request"),
    _HAR,
)
WAIT = _time(
    "wait", N_("Wait for the answer"), N_("last request byte to first response byte, of each request"), _HAR
)
REDIRECTS = MetricDef(
    "web_redirects",
    "{redirect}",
    "attempt",
    N_("Redirects"),
    N_("redirects before the final document"),
    better="lower",
    source="W3C Navigation Timing",
)
REDIRECT_TIME = _time(
    "redirect",
    N_("Time in redirects"),
    N_("attempt start to the request of the final document, if there was a redirect"),
    "W3C Navigation Timing",
    ("value",),
    "attempt",
)
STATUS = MetricDef(
    "web_status_code",
    "1",
    "state",
    N_("Status"),
    N_("status of the final document"),
    ("value", "histogram"),
    source="RFC 9110",
)
PROTOCOL = MetricDef(
    "web_protocol",
    "1",
    "state",
    N_("Protocol"),
    N_("protocol of the final document"),
    ("value", "histogram"),
    source="RFC 9110",
)


def _bytes(name: str, title: str, definition: str) -> MetricDef:
    return MetricDef(f"web_{name}_bytes", "By", "attempt", title, definition, source=_TIMING)


BODY = _bytes("body", N_("Content, decoded"), N_("bodies of all answers after decompression"))
CONTENT = _bytes("content", N_("Content on the wire"), N_("bodies of all answers as they came"))
TRANSFER = _bytes("transfer", N_("Transferred"), N_("all answers as they came, headers and framing included"))
COMPRESSION = MetricDef(
    "web_compression_ratio",
    "1",
    "attempt",
    N_("Compression"),
    N_("content on the wire / decoded content"),
    source="ETSI TS 102 250-2",
)
REQUESTS = MetricDef(
    "web_requests",
    "{request}",
    "attempt",
    N_("Requests"),
    N_("requests of the page load, redirects included"),
)
FAILED_RATIO = MetricDef(
    "web_resources_failed_ratio",
    "1",
    "attempt",
    N_("Failed resources"),
    N_("resources without a complete answer or with an error status / all resources"),
    better="lower",
)
MATCH = MetricDef(
    "web_content_match",
    "1",
    "attempt",
    N_("Content as expected"),
    N_("keyword, pattern and hash rules are met"),
)
SERVER_TIMING = MetricDef(
    "web_server_timing_seconds",
    "s",
    "sample",
    N_("Time that the server names"),
    N_("entries of Server-Timing of the document, by name"),
    better="lower",
    source="W3C Server Timing",
)

_ALWAYS = (PAGE, HTML, TTFB)
_WHERE_SEEN = (
    WAIT,
    DNS,
    CONNECT,
    TLS,
    SEND,
    REDIRECTS,
    REDIRECT_TIME,
    STATUS,
    PROTOCOL,
    BODY,
    CONTENT,
    TRANSFER,
    COMPRESSION,
    REQUESTS,
    FAILED_RATIO,
    MATCH,
)
METRICS = (*_ALWAYS, *_WHERE_SEEN, SERVER_TIMING, *service.definitions("web"))

PER_REQUEST = frozenset(metric.key for metric in (DNS, CONNECT, TLS, SEND, WAIT, SERVER_TIMING))
"""How many samples these will have depends on the page."""

_ENTRY = re.compile(r'\s*([A-Za-z0-9!#$%&\'*+.^_`|~-]{1,40})((?:\s*;[^,;"]*(?:"[^"]*")?)*)')
_PARAMETER = re.compile(r';\s*([A-Za-z]{1,20})\s*=\s*(?:"([^"]*)"|([^\s;,"]*))')
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_MOST_ENTRIES = 20


def record(ctx: Context, page: Page, failure: Failed | None) -> None:
    """What is known of a page load, however far it came. Without a figure: the class of what went wrong."""
    reason = "not_reached" if failure is None else failure.error.class_
    document = page.document
    reached = document is not None and document.status < 300
    whole = reached and document is not None and document.error is None
    first_byte = document.first_byte if document is not None and reached else None
    for metric, instant in (
        (TTFB, first_byte),
        (HTML, document.end if document is not None and whole else None),
        (PAGE, page.end if whole and failure is None else None),
    ):
        ctx.record(
            metric.key,
            None if instant is None else instant - page.start,
            t=page.start,
            reason=None if instant is not None else reason,
        )
    for exchange in sorted(page.fetcher.exchanges, key=lambda one: one.start):
        _record_phases(ctx, exchange)
    if document is not None:
        _record_document(ctx, page, document)
    _record_volume(ctx, page)


def _record_phases(ctx: Context, exchange: Exchange) -> None:
    """The phases of a request that was answered; of one that wasn't, they are no times of anything."""
    if exchange.first_byte is None:
        return
    phases = exchange.phases
    for metric, seconds in (
        (DNS, phases.dns),
        (CONNECT, phases.connect),
        (TLS, phases.ssl),
        (SEND, phases.send),
        (WAIT, phases.wait),
    ):
        if seconds is not None:
            ctx.record(metric.key, seconds, t=exchange.start)


def _record_document(ctx: Context, page: Page, document: Exchange) -> None:
    ctx.record(STATUS.key, str(document.status))
    ctx.record(PROTOCOL.key, document.version.lower())
    ctx.record(REDIRECTS.key, page.redirects)
    if page.redirects and page.document_start is not None:
        ctx.record(REDIRECT_TIME.key, page.document_start - page.start)
    fields = [value for name, value in document.headers if name.lower() == "server-timing"]
    for name, seconds in server_timing(", ".join(fields)):
        ctx.record(SERVER_TIMING.key, seconds, t=document.first_byte, name=name)
    if document.interim is not None:
        ctx.method(first_interim=document.interim - page.start)


def _record_volume(ctx: Context, page: Page) -> None:
    """Bytes of what was answered; those of an error page are no content."""
    exchanges = [one for one in page.fetcher.exchanges if one.first_byte is not None]
    if not exchanges:
        return
    answered = [one for one in exchanges if 200 <= one.status < 300]
    content, decoded = sum(one.content for one in answered), sum(one.decoded for one in answered)
    ctx.record(CONTENT.key, content)
    ctx.record(BODY.key, decoded)
    ctx.record(TRANSFER.key, sum(one.transferred for one in exchanges))
    ctx.record(REQUESTS.key, len(page.fetcher.exchanges))
    if decoded:
        ctx.record(COMPRESSION.key, content / decoded)
    if page.resources:
        failed = sum(not one.ok for one in page.resources)
        ctx.record(FAILED_RATIO.key, failed / len(page.resources))


def server_timing(field: str) -> Iterator[tuple[str, float]]:
    """(name, seconds) of the entries that have a duration, the first twenty."""
    place = 0
    for _entry in range(_MOST_ENTRIES):
        entry = _ENTRY.match(field, place)
        if entry is None:
            return
        given = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(entry[2])}
        duration = _NUMBER.fullmatch(given.get("dur", ""))
        if duration is not None:
            yield entry[1], float(duration[0]) / 1000
        place = entry.end()
        comma = field.find(",", place)
        if comma < 0:
            return
        place = comma + 1


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """The metrics of each page; those of which nothing was seen (no TLS, no redirect) are left out."""
    metrics: list[Metric] = []
    for pool in by_target(attempts):
        metrics += [pool.statistics(definition) for definition in _ALWAYS]
        metrics += [pool.statistics(one) for one in _WHERE_SEEN if _seen(pool, one)]
        metrics += _server_timings(pool)
        metrics += service.kpis(
            "web",
            [
                service.Access(attempt.outcome, _begin(attempt), attempt.triggers, _content_bytes(attempt))
                for attempt in pool.attempts
            ],
            labels={"target": pool.target},
            method=pool.method,
            flags=pool.flags,
        )
    return metrics


def _seen(pool: Pool, definition: MetricDef) -> bool:
    return any(value is not None for value in pool.values(definition.key))


def _server_timings(pool: Pool) -> Iterator[Metric]:
    names = [labels["name"] for attempt in pool.valid for labels in attempt.label_sets(SERVER_TIMING.key)]
    for name in dict.fromkeys(names):
        values = [value for attempt in pool.valid for value in attempt.values(SERVER_TIMING.key, name=name)]
        yield summary.of_samples(
            SERVER_TIMING,
            values,
            labels={"target": pool.target, "name": name},
            method=pool.method,
            flags=pool.flags,
        )


def _begin(attempt: AttemptData) -> float:
    """T0. Reading the machine's trusted authorities, which comes before, is no part of the service."""
    return attempt.triggers.get(BEGIN, attempt.t)


def _content_bytes(attempt: AttemptData) -> int | None:
    found = [value for value in attempt.values(CONTENT.key) if isinstance(value, int)]
    return found[0] if found else None
