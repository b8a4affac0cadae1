"""What Prometheus asks of the cloud server: `/metrics`, and `/probe` where it was given files for that."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import Metric
from prometheus_client.registry import Collector

from ots.clock import SystemClock
from ots.server.database.database import DatabaseAway
from ots.server.prometheus.allow_list import AllowList
from ots.server.prometheus.connections import Connections
from ots.server.prometheus.exposition import exposed
from ots.server.prometheus.gate import Gate
from ots.server.prometheus.module_file import LoadedModule
from ots.server.prometheus.probe_page import Probing, probe_page
from ots.server.prometheus.readers import Readers
from ots.server.prometheus.siblings import Siblings

if TYPE_CHECKING:
    from ots.server.services import Services

PROBES = 1000
"""Probes of one process at the same time, at most."""

log = logging.getLogger("ots.server")


@dataclass(frozen=True, slots=True)
class Scraping:
    """Who may ask, this process's place among its siblings, and what `/probe` works with, if it is there."""

    readers: Readers = Readers()
    siblings: Siblings | None = None
    number: int = 0
    probes: tuple[Mapping[str, LoadedModule], AllowList] | None = None


def add_scraping(app: web.Application, services: Services) -> None:
    """Adds the pages to the application."""
    scraping = services.scraping

    async def metrics(request: web.Request) -> web.Response:
        refusal = scraping.readers.refusal(request, services.address_of(request))
        return refusal or await _metrics(request, services)

    app.router.add_get("/metrics", metrics)
    if scraping.siblings is not None:
        app.cleanup_ctx.append(lambda _app: _answer_siblings(services, scraping.siblings))
    if scraping.probes is not None:
        _add_probe(app, services, *scraping.probes)


async def _metrics(request: web.Request, services: Services) -> web.Response:
    """The figures of all processes, with what the database knows of agents at this moment."""
    scraping, metrics = services.scraping, services.metrics
    try:
        await services.look_at_agents()
    except DatabaseAway as error:
        log.warning("the figures of agents are as they were: %s", error)
    own: Collector = metrics.registry
    if scraping.siblings is not None:
        own = await scraping.siblings.together(scraping.number, metrics.registry)
    return exposed(request, _Both(metrics.whole, own))


async def _answer_siblings(services: Services, siblings: Siblings | None) -> AsyncIterator[None]:
    assert siblings is not None
    async with siblings.answering(services.scraping.number, services.metrics.registry):
        yield


def _add_probe(
    app: web.Application, services: Services, modules: Mapping[str, LoadedModule], allowed: AllowList
) -> None:
    clock = SystemClock()
    connections = Connections(clock, limit=PROBES)
    probing = Probing(modules, Gate(allowed, clock), connections, services.metrics, clock, PROBES)

    async def probe(request: web.Request) -> web.Response:
        refusal = services.scraping.readers.refusal(request, services.address_of(request))
        return refusal or await probe_page(request, probing)

    async def connected(_app: web.Application) -> AsyncIterator[None]:
        async with connections:
            yield

    app.router.add_get("/probe", probe)
    app.cleanup_ctx.append(connected)


class _Both(Collector):
    """Two collectors' figures as one's."""

    def __init__(self, first: Collector, second: Collector) -> None:
        self._parts = first, second

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield from part.collect()
