"""The agent's end of remote control: the WebSocket, and the polls that stand in for it."""

from __future__ import annotations

import time

from aiohttp import web

from ots.remote import control_wire as wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused, problem_response
from ots.server.control.line import PollLine
from ots.server.control.socket_line import SocketLine, accept
from ots.server.database.database import DatabaseAway
from ots.server.identity.agents import agent_of_request
from ots.server.patience import visitor_of
from ots.server.services import SERVICES, Services
from ots.session.identity import uuid7

PATH = "/api/v1/agent/channel"
_LEFT = 499
"""nginx's number for a client that left before the answer."""
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
        return _hand_over(services, request, agent_id)
    except Refused as refused:
        return problem_response(refused, request_id)
    except DatabaseAway:
        return problem_response(Refused("database-away"), request_id)


def _hand_over(services: Services, request: web.Request, agent_id: str) -> web.Response:
    """Makes the connection a line that nothing of the request stays with. Raises Refused."""
    answer = accept(request)
    if services.closing:
        raise Refused("closing")
    visitor = visitor_of(request)
    if visitor is None:
        return web.Response(status=_LEFT)
    control = services.control
    line = SocketLine(agent_id, control.gateway.ping, control.reception)
    visitor.hand_over(line, answer)
    control.gateway.hold(line)
    return web.Response(status=101)  # for those who count: it was said already


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
            control.reception.take_in(line)
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
