"""From a request to an operation and back: limits, proof, decoding, answer, and every error as a problem."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import msgspec
from aiohttp import web

from ots.server.api.body import check_digest, take_body, unpacked
from ots.server.api.operation import JSON_LIMIT, Access, Answer, Call, Operation, Raw
from ots.server.api.problems import Refused, problem_response
from ots.server.database.database import DatabaseAway, DatabaseFull
from ots.server.identity.agents import agent_of_request
from ots.server.identity.caller import Caller, Nobody
from ots.server.identity.people import person_of_request
from ots.server.services import SERVICES, Services
from ots.session.identity import uuid7

log = logging.getLogger("ots.server")


def handler_of(operation: Operation) -> Any:
    """The aiohttp handler of an operation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        request_id = uuid7(time.time())
        start = time.monotonic()
        refusal: Refused | None = None
        try:
            response = await _perform(operation, request, request_id)
        except Refused as refused:
            refusal = refused
        except DatabaseFull:
            refusal = Refused("storage-full")
        except DatabaseAway as error:
            log.warning("%s %s: the database is away: %s", request_id, operation.name, error)
            refusal = Refused("database-away")
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the last one who can answer; the log has the traceback
            log.exception("%s %s failed", request_id, operation.name)
            refusal = Refused("internal", f"the log knows more under {request_id}")
        if refusal is not None:
            response = problem_response(refusal, request_id)
        response.headers["X-Request-Id"] = request_id
        code = None if refusal is None else refusal.code
        request.app[SERVICES].observe(operation.name, response.status, code, time.monotonic() - start)
        return response

    return handle


async def _perform(operation: Operation, request: web.Request, request_id: str) -> web.Response:
    services = request.app[SERVICES]
    if services.closing:
        raise Refused("closing")
    address = services.address_of(request)
    now = time.monotonic()
    if operation.access is not Access.AGENT:
        services.rates.spend(address, operation.rate, now)
    query = _read_query(operation, request)
    caller: Caller = Nobody()
    if operation.access in (Access.AGENT, Access.AGENT_IN_ANY_STATE):
        caller = await agent_of_request(services, request, any_state=operation.access is not Access.AGENT)
        services.rates.spend(caller.name, operation.rate, now)
    elif operation.access is Access.PERSON:
        caller = person = await person_of_request(services, request)
        operation.permit(person)
    packed = await take_body(request, _limit(operation), services.patience)
    if operation.access in (Access.AGENT, Access.AGENT_IN_ANY_STATE):
        check_digest(packed, caller.promised_digest)
    call = Call(
        request=request,
        services=services,
        caller=caller,
        path=request.match_info,
        query=query,
        body=_read_body(operation, request, packed),
        packed=packed,
        request_id=request_id,
        address=address,
    )
    return _response(await operation.handle(call))


def _limit(operation: Operation) -> int:
    if operation.takes is None:
        return 0
    return operation.takes.packed if isinstance(operation.takes, Raw) else JSON_LIMIT


def _read_query(operation: Operation, request: web.Request) -> Any:
    """The query as its struct says. A name twice, or one that isn't declared, is an error."""
    given = request.query
    if operation.query is None:
        if given:
            raise Refused("invalid-request", f"no query is taken here: {next(iter(given))[:60]!r}")
        return None
    if any("\x00" in value for value in given.values()):
        raise Refused("invalid-request", "a query may not hold NUL")
    if len(set(given)) != len(given):
        raise Refused("invalid-request", "a name comes twice in the query")
    try:
        return msgspec.convert(dict(given), operation.query, strict=False)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Refused("invalid-request", f"query: {error}") from None


def _read_body(operation: Operation, request: web.Request, packed: bytes) -> Any:
    takes = operation.takes
    if takes is None:
        return None
    if isinstance(takes, Raw):
        if request.content_type not in takes.media_types:
            raise Refused("unsupported-media", f"taken here: {', '.join(takes.media_types)}")
        return unpacked(request, packed, takes.limit)
    if request.content_type != "application/json":
        raise Refused("unsupported-media", "taken here: application/json")
    document = unpacked(request, packed, JSON_LIMIT)
    if rb"\u0000" in document:
        raise Refused("invalid-body", "a text may not hold NUL")
    try:
        return msgspec.json.decode(document, type=takes)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused("invalid-body", str(error)) from None
    except UnicodeDecodeError:
        raise Refused("invalid-body", "the body is not UTF-8") from None


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
    response = web.Response(
        status=answer.status, body=body, content_type=answer.media_type, headers=answer.headers
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def services_of(request: web.Request) -> Services:
    return request.app[SERVICES]
