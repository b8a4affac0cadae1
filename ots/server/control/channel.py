"""The agent's end of remote control: the WebSocket, and the polls that stand in for it."""

from __future__ import annotations

import time

import msgspec
from aiohttp import WSMsgType, web

from ots.remote import control_wire as wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused, problem_response
from ots.server.control.line import Line, PollLine, SocketLine
from ots.server.database.database import DatabaseAway
from ots.server.identity.agents import agent_of_request
from ots.server.services import SERVICES, Services
from ots.session.identity import uuid7

PATH = "/api/v1/agent/channel"
_FIRST_WORD = 15.0
_MOST_MESSAGES = 100


async def channel(request: web.Request) -> web.StreamResponse:
    """Upgrades a signed request to the agent's line. Agents that come too fast are sent away unexamined."""
    services = request.app[SERVICES]
    request_id = uuid7(time.time())
    try:
        if services.closing:
            raise Refused("closing")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise Refused(
                "invalid-request", "this is a WebSocket; where none gets through: .../agent/commands"
            )
        services.control.gateway.admission.admit()
        agent_id = (await agent_of_request(services, request, any_state=False)).agent_id
    except Refused as refused:
        return problem_response(refused, request_id)
    except DatabaseAway:
        return problem_response(Refused("database-away"), request_id)
    socket = web.WebSocketResponse(
        compress=False, max_msg_size=wire.MAX_FRAME, autoping=False, autoclose=True, timeout=5.0
    )
    await socket.prepare(request)
    line = SocketLine(agent_id, socket, request.transport, services.control.gateway.ping)
    try:
        await _converse(services, line, socket)
    finally:
        line.closed = True
        services.control.gateway.drop(line)
        services.control.presence.went(line)
    return socket


async def _converse(services: Services, line: Line, socket: web.WebSocketResponse) -> None:
    greeted: bool | None = False
    while not line.closed and greeted is not None:
        greeted = await _hear_one(services, line, socket, greeted=greeted)


async def _hear_one(
    services: Services, line: Line, socket: web.WebSocketResponse, *, greeted: bool
) -> bool | None:
    """Waits for one frame and does what it asks; returns whether the agent has greeted, None at the end.

    A function of its own, so that a quiet line holds nothing of the frame before.
    """
    try:
        message = await socket.receive(timeout=None if greeted else _FIRST_WORD)
    except TimeoutError:
        await line.end(wire.Bye(after=60.0, reason="protocol"))
        return None
    fair = line.hear()
    if message.type is WSMsgType.PONG:
        return greeted
    if message.type is WSMsgType.PING and fair:
        await socket.pong(message.data)
        return greeted
    if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        return None
    said = _read(message.data) if message.type is WSMsgType.TEXT and fair else None
    if (
        said is None
        or greeted == isinstance(said, wire.Hello)
        or not services.control.hearing.take(line.agent_id, said)
    ):
        await line.end(wire.Bye(after=60.0, reason="protocol"))
        return None
    if not greeted:
        await _take_in(services, line)
    return True


async def _take_in(services: Services, line: Line) -> None:
    """Puts the line into use; the other processes hear of it with those that came at the same time."""
    control = services.control
    await control.gateway.open(line)
    control.presence.came(line)
    control.courier.look_after(line.agent_id)


def _read(text: str) -> wire.FromAgent | None:
    try:
        found: wire.FromAgent = msgspec.json.decode(text, type=wire.FromAgent)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return found


async def tell(call: Call) -> Answer:
    """Takes what an agent says, also where its line is in another process. Its hello opens the line here."""
    told: wire.Told = call.body
    if len(told.messages) > _MOST_MESSAGES:
        raise Refused("invalid-body", f"at most {_MOST_MESSAGES} messages at once")
    control = call.services.control
    agent_id = call.agent.agent_id
    line = control.gateway.line_of(agent_id)
    for said in told.messages:
        if isinstance(said, wire.Hello):
            control.gateway.admission.admit()
            line = PollLine(agent_id)
            await _take_in(call.services, line)
        if (line is not None and not line.hear()) or not control.hearing.take(agent_id, said):
            raise Refused("rate-limited", retry_after=5.0)
    return Answer(204)


async def poll(call: Call) -> Answer:
    """Gives what the server has to say, waiting for it a while."""
    line = call.services.control.gateway.line_of(call.agent.agent_id)
    if not isinstance(line, PollLine):
        raise Refused("conflict", "say hello first")
    return Answer(200, wire.Waiting(messages=await line.take(wire.POLL)))


OPERATIONS = (
    Operation(
        name="pollCommands",
        method="GET",
        path="/api/v1/agent/commands",
        summary="What the server has to say to this agent, where no WebSocket gets through.",
        access=Access.AGENT,
        rate=Rate.READ,
        gives={200: wire.Waiting},
        problems=("conflict",),
        handle=poll,
    ),
    Operation(
        name="tellCommands",
        method="POST",
        path="/api/v1/agent/commands",
        summary="What this agent has to say of its commands, where no WebSocket gets through.",
        access=Access.AGENT,
        rate=Rate.READ,
        takes=wire.Told,
        gives={204: None},
        problems=("digest-mismatch", "overloaded"),
        handle=tell,
    ),
)
