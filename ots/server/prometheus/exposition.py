"""Figures as Prometheus reads them: its text format, or OpenMetrics to whoever asks for that."""

from __future__ import annotations

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from ots.server.prometheus.registry import ServerMetrics


async def metrics_page(request: web.Request, metrics: ServerMetrics) -> web.Response:
    """Answers `/metrics`."""
    return exposed(request, metrics.registry)


def exposed(request: web.Request, figures: Collector) -> web.Response:
    """The figures, in OpenMetrics if the request accepts that in any version and weight."""
    asked = (part.partition(";")[0].strip() for part in request.headers.get("Accept", "").split(","))
    encode, content_type = choose_encoder(_OPEN_METRICS if _OPEN_METRICS in asked else "")
    registry = figures if isinstance(figures, CollectorRegistry) else CollectorRegistry()
    if registry is not figures:
        registry.register(figures)
    return web.Response(body=encode(registry), headers={"Content-Type": content_type, **QUIET})


_OPEN_METRICS = "application/openmetrics-text"

QUIET = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""What every answer to Prometheus says: of this moment, and no document for a browser to guess at."""
