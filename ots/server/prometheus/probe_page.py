"""`/probe?target=…&module=…`: makes one probe and answers with its figures, as blackbox_exporter does.

What was not carried out is no figure: an unknown module or a target that is none is answered with 400, a
target that is not on the list with 403, one too many with 503. A target that fails is `probe_success 0`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from ots.clock import Clock
from ots.probe import Failed
from ots.schema.target import TargetError
from ots.server.prometheus import dns_prober, http_prober, icmp_prober, tcp_prober
from ots.server.prometheus.allow_list import NotAllowed
from ots.server.prometheus.connections import Connections
from ots.server.prometheus.debug_page import debug_page
from ots.server.prometheus.errand import Errand
from ots.server.prometheus.exposition import QUIET, exposed
from ots.server.prometheus.gate import Gate
from ots.server.prometheus.http_request import authority
from ots.server.prometheus.module import Prober
from ots.server.prometheus.module_file import LoadedModule
from ots.server.prometheus.registry import ServerMetrics

DEFAULT_MODULE = "http_2xx"
LONGEST = 120.0
"""Seconds that a probe may take at most, and does where neither the scraper nor its module says."""

_SCRAPE_TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"
_ON_THE_WAY = 0.5
"""Seconds that are left to bring the answer back before the scraper gives up."""
_BACKSTOP = 1.0

_PROBERS: Mapping[Prober, Callable[[Errand], Awaitable[None]]] = {
    "http": http_prober.probe,
    "tcp": tcp_prober.probe,
    "dns": dns_prober.probe,
    "icmp": icmp_prober.probe,
}


@dataclass(slots=True)
class Probing:
    """All that `/probe` needs. `modules` and `gate` may be exchanged at any time; no more than `limit` probes
    run side by side."""

    modules: Mapping[str, LoadedModule]
    gate: Gate
    connections: Connections
    metrics: ServerMetrics
    clock: Clock
    limit: int = 1000
    running: int = 0


async def probe_page(request: web.Request, probing: Probing) -> web.Response:
    """Answers `/probe`."""
    try:
        loaded, target, hostname, seconds = _asked_for(request, probing)
    except _Unusable as error:
        return _refused(probing, 400, "bad-request", str(error))
    if probing.running >= probing.limit:
        return _refused(probing, 503, "busy", f"{probing.limit} probes are running already")
    errand = Errand(
        target,
        loaded,
        probing.clock.monotonic() + seconds,
        probing.clock,
        probing.gate,
        probing.connections,
        hostname,
    )
    probing.running += 1
    try:
        with probing.metrics.probing():
            success = await _made(errand, seconds)
    except TargetError as error:
        return _refused(probing, 400, "bad-target", str(error))
    except NotAllowed as failure:
        return _refused(probing, 403, "not-allowed", failure.error.message)
    finally:
        probing.running -= 1
    probing.metrics.probed(loaded.module.prober, success=success)
    if request.query.get("debug") == "true":
        return web.Response(text=debug_page(errand), headers=QUIET)
    return exposed(request, errand.figures)


async def _made(errand: Errand, seconds: float) -> bool:
    """Makes the probe; whether it succeeded. `NotAllowed` if nothing was sent because of the list."""
    began = errand.clock.monotonic()
    errand.journal.note(f"module {errand.loaded.name}, {seconds:g} s at most")
    success = False
    try:
        # Each phase ends in time by itself; this is for one that doesn't.
        async with asyncio.timeout(seconds + _BACKSTOP):
            await _PROBERS[errand.loaded.module.prober](errand)
        success = True
    except Failed as failure:
        if isinstance(failure, NotAllowed) and not errand.figures.value("probe_http_redirects"):
            raise
        known = failure.error
        errand.journal.note(f"failed: {known.class_} in phase {known.phase}: {known.code}: {known.message}")
    except TimeoutError:
        errand.journal.note("failed: the time for the probe is over")
    errand.figures.set("probe_duration_seconds", errand.clock.monotonic() - began)
    errand.figures.set("probe_success", success)
    return success


class _Unusable(Exception):
    """What was asked for makes no sense; the message says why."""


def _asked_for(request: web.Request, probing: Probing) -> tuple[LoadedModule, str, str | None, float]:
    query = request.query
    for name in ("module", "target", "hostname"):
        if len(query.getall(name, [])) > 1:
            raise _Unusable(f"{name} is there more than once")
    name = query.get("module") or DEFAULT_MODULE
    loaded = probing.modules.get(name)
    if loaded is None:
        raise _Unusable(f"unknown module {name[:100]!r}")
    target = query.get("target", "")
    if not target:
        raise _Unusable("which target? /probe?target=HOST")
    hostname = query.get("hostname") or None
    if hostname is not None:
        _check_hostname(hostname, loaded)
    return loaded, target, hostname, _seconds(request, loaded.module.timeout)


def _check_hostname(hostname: str, loaded: LoadedModule) -> None:
    http = loaded.module.http
    if http is None and loaded.module.tcp is None:
        raise _Unusable(f"hostname means nothing with prober: {loaded.module.prober}")
    try:
        authority(hostname)
    except TargetError as error:
        raise _Unusable(f"hostname: {error}") from None
    for name, value in (http.headers if http is not None else {}).items():
        if name.lower() == "host" and value != hostname:
            raise _Unusable("hostname is set, and the module has another Host")


def _seconds(request: web.Request, timeout: float) -> float:
    """How long the probe may take: what its module says, and less than the scraper waits."""
    said = request.headers.get(_SCRAPE_TIMEOUT, "")
    try:
        scrape = float(said) if said else LONGEST
    except ValueError:
        scrape = math.nan
    if not 0 < scrape < math.inf:
        raise _Unusable(f"{_SCRAPE_TIMEOUT} is no number of seconds")
    longest = min(LONGEST, max(scrape - _ON_THE_WAY, scrape / 2))
    return min(timeout, longest) if timeout > 0 else longest


def _refused(probing: Probing, status: int, reason: str, text: str) -> web.Response:
    probing.metrics.probe_refused(reason)
    headers = {**QUIET, "Retry-After": "5"} if status == 503 else QUIET
    return web.Response(status=status, text=f"{text}\n", headers=headers)
