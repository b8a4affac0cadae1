"""The web application of one process: operations, health, and an orderly end."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from ots.server.api.dispatch import handler_of
from ots.server.api.document import openapi
from ots.server.api.operation import PATH_PARAMETERS, Operation
from ots.server.api.problems import Refused, problem_response
from ots.server.database.database import DatabaseAway
from ots.server.identity import agent_administration, agent_operations, enrolment, login_operations
from ots.server.reports import intake, reading
from ots.server.services import SERVICES, Services

OPERATIONS: tuple[Operation, ...] = (
    *login_operations.OPERATIONS,
    *enrolment.OPERATIONS,
    *agent_administration.OPERATIONS,
    *agent_operations.OPERATIONS,
    *intake.OPERATIONS,
    *reading.OPERATIONS,
)
"""Every operation of the interface, in the document's order."""

_IN_BRACES = re.compile(r"\{([a-z0-9_]+)\}")
_HEALTH_PATIENCE = 3.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(services: Services) -> web.Application:
    """The application; the services' writer runs as long as it does."""
    app = web.Application(middlewares=[_answer_unknown_paths])
    app[SERVICES] = services
    app.cleanup_ctx.append(_run_writer)
    for path, operations in itertools.groupby(
        sorted(OPERATIONS, key=lambda one: one.path), lambda one: one.path
    ):
        resource = app.router.add_resource(_pattern(path))
        for operation in operations:
            resource.add_route(operation.method, handler_of(operation))
    app.router.add_get("/api/v1/openapi.json", _document)
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _ready)
    return app


def _pattern(path: str) -> str:
    """A path with the form of each parameter, as the router wants it."""
    return _IN_BRACES.sub(lambda found: f"{{{found[1]}:{PATH_PARAMETERS[found[1]]}}}", path)


async def _run_writer(app: web.Application) -> AsyncIterator[None]:
    services = app[SERVICES]
    services.reports.start()
    yield
    services.closing = True
    await services.reports.close()
    await services.database.close()


@web.middleware
async def _answer_unknown_paths(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """What the router refuses, as a problem under /api and as a plain answer elsewhere."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith("/api/") or error.status < 400:
            raise
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status, "invalid-request")
        response = problem_response(Refused(code), "-")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


async def _document(_request: web.Request) -> web.Response:
    """The interface's description, which anybody may read."""
    return web.json_response(openapi(OPERATIONS))


async def _alive(_request: web.Request) -> web.Response:
    """The process serves."""
    return web.Response(text="ok\n")


async def _ready(request: web.Request) -> web.Response:
    """The process serves, its database answers, and it is not closing."""
    services = request.app[SERVICES]
    if services.closing:
        return web.Response(status=503, text="closing\n")
    try:
        async with asyncio.timeout(_HEALTH_PATIENCE):
            await services.database.answers()
    except (DatabaseAway, TimeoutError):
        return web.Response(status=503, text="the database does not answer\n")
    return web.Response(text="ok\n")
