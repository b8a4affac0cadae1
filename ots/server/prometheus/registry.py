"""The server's own figures, for `/metrics`.

One object holds them all, and whoever has something to count gets it handed. No label ever names an agent, a
report or a path with an id in it: a label's values are few and known when the program is written. Figures are
those of one process in `registry`, and of the whole server, which any process can tell, in `whole`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from ots import __version__

_PREFIX = "ots_server"
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,39}")
OTHER: Final = "other"
"""Stands for a label's value that is none of the words it takes."""

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LAG = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_DELIVERY = (1.0, 5.0, 15.0, 60.0, 300.0, 3600.0, 6 * 3600.0, 86_400.0, 7 * 86_400.0)


class ServerMetrics:
    """Everything that the server counts and times; seconds and bytes, as Prometheus has it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.whole = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = self._gauge("build_info", "The program that runs; always 1.", ["version"])
        build.labels(__version__).set(1)
        self._reports = self._counter(
            "reports", "Reports offered by agents, by what became of them.", ["outcome"]
        )
        for outcome in ("accepted", "duplicate", "conflict", "rejected"):
            self._reports.labels(outcome)
        self._rejected = self._counter("reports_rejected", "Rejected reports, by reason.", ["reason"])
        self._ingest = self._histogram(
            "ingest_seconds", "Time from a report's header to its receipt, after the commit.", _FAST
        )
        self._delivery = self._histogram(
            "delivery_seconds", "Time from the end of a run, by its agent's clock, to the receipt.", _DELIVERY
        )
        self._requests = self._counter(
            "requests", "Answered requests by route, method and status.", ["route", "method", "status"]
        )
        self._request = self._histogram(
            "request_seconds", "Time from a request's header to the end of its answer.", _FAST, ["route"]
        )
        self._lag = self._histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop fires.", _LAG
        )
        self._database = self._histogram(
            "database_wait_seconds", "Wait for a connection of the database pool.", _FAST
        )
        self._agents = self._gauge("agents", "Known agents, by status.", ["status"], whole=True)
        self._waiting = self._gauge(
            "outbox_reports", "Reports that agents said are waiting, all together.", whole=True
        )
        self._longest = self._gauge(
            "outbox_reports_max", "Reports that are waiting at the agent with most of them.", whole=True
        )
        self._audit = self._counter("audit_failures", "Entries of the audit trail that could not be written.")
        self._probes = self._counter(
            "probes", "Probes made for /probe, by prober and result.", ["prober", "result"]
        )
        self._probing = self._gauge("probes_in_progress", "Probes being made for /probe now.")
        self._refused = self._counter(
            "probes_refused", "Requests for /probe that were not carried out, by reason.", ["reason"]
        )

    def report_accepted(self, seconds: float) -> None:
        """A report that is stored, `seconds` after its header came."""
        self._reports.labels("accepted").inc()
        self._ingest.observe(seconds)

    def report_delivered(self, seconds: float) -> None:
        """A new report is stored so long after its run; less than nothing says only that a clock is wrong."""
        if seconds >= 0:
            self._delivery.observe(seconds)

    def report_duplicate(self) -> None:
        """A report that was here already, byte for byte."""
        self._reports.labels("duplicate").inc()

    def report_conflict(self) -> None:
        """Another report under the key of one that is here."""
        self._reports.labels("conflict").inc()

    def report_rejected(self, reason: str) -> None:
        """A report that was not taken; `reason` is a problem's code: `too-large`."""
        self._reports.labels("rejected").inc()
        self._rejected.labels(word(reason)).inc()

    def request_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is the pattern of the route (`/reports/{id}`), never the path that was asked for."""
        self._requests.labels(route, method, str(status)).inc()
        self._request.labels(route).observe(seconds)

    def loop_was_late(self, seconds: float) -> None:
        self._lag.observe(seconds)

    def database_waited(self, seconds: float) -> None:
        self._database.observe(seconds)

    def agents_are(self, by_status: Mapping[str, int]) -> None:
        """How many agents are in each status; those of a status that is not named are none."""
        self._agents.clear()
        for status, count in by_status.items():
            self._agents.labels(word(status)).inc(count)

    def outboxes_are(self, waiting: Iterable[int]) -> None:
        """What each agent last said of its outbox, in no order and without its name."""
        total = longest = 0
        for count in waiting:
            total += count
            longest = max(longest, count)
        self._waiting.set(total)
        self._longest.set(longest)

    def audit_failed(self) -> None:
        self._audit.inc()

    @contextmanager
    def probing(self) -> Iterator[None]:
        """A probe is being made while the block lasts."""
        self._probing.inc()
        try:
            yield
        finally:
            self._probing.dec()

    def probed(self, prober: str, *, success: bool) -> None:
        self._probes.labels(word(prober), "success" if success else "failure").inc()

    def probe_refused(self, reason: str) -> None:
        self._refused.labels(word(reason)).inc()

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = (), *, whole: bool = False) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.whole if whole else self.registry)

    def _histogram(
        self, name: str, text: str, buckets: Iterable[float], labels: Iterable[str] = ()
    ) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, labels, registry=self.registry, buckets=tuple(buckets))


def word(text: str) -> str:
    """The text, if it is a word such as a label's value may be; else `other`."""
    return text if _WORD.fullmatch(text) else OTHER
