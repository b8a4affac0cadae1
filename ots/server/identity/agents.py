"""Which agent signed a request. What is known of an agent is kept for a second; uploads look again."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from aiohttp import web
from sqlalchemy import select

from ots.server.api.problems import Refused
from ots.server.database.database import Database
from ots.server.database.tables import agent
from ots.server.identity.caller import AgentCaller
from ots.signing.keys import read_public
from ots.signing.request import RequestRefused, promised_digest, prove, read_claim

if TYPE_CHECKING:
    from ots.server.services import Services

_FRESH = 1.0
_STATES = {
    "pending": "agent-pending",
    "suspended": "agent-suspended",
    "revoked": "agent-revoked",
    "left": "agent-left",
}


class KnownAgents:
    """The agents that called within the last second, so that a busy one costs no query each time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, tuple[float, AgentCaller | None]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[AgentCaller | None]] = {}

    def forget(self, agent_id: str) -> None:
        self._known.pop(agent_id, None)
        self._asking.pop(agent_id, None)

    async def get(self, agent_id: str) -> AgentCaller | None:
        """The agent's row, None if there is none. Raises DatabaseAway."""
        read, caller = self._known.get(agent_id, (-math.inf, None))
        age = time.monotonic() - read
        # One query for all that ask for the same agent, and before a busy one has to wait for it.
        task = self._asking.get(agent_id)
        if task is None and age > _FRESH / 2:
            task = self._asking[agent_id] = asyncio.create_task(self._ask(agent_id), name="agent's row")
        if task is None or age < _FRESH:
            return caller
        return await asyncio.shield(task)

    async def _ask(self, agent_id: str) -> AgentCaller | None:
        now = time.monotonic()
        try:
            caller = await self._read(agent_id)
            if self._asked_by_this_task(agent_id):
                self._known[agent_id] = (now, caller)
                self._known.move_to_end(agent_id)
                self._let_go(now)
            return caller
        finally:
            if self._asked_by_this_task(agent_id):
                del self._asking[agent_id]

    def _let_go(self, now: float) -> None:
        """Of those that are not fresh any more: thousands call once and stay on their line."""
        while len(self._known) > 1 and next(iter(self._known.values()))[0] < now - _FRESH:
            self._known.popitem(last=False)

    def _asked_by_this_task(self, agent_id: str) -> bool:
        """Not so once the agent was forgotten meanwhile: what is read may be what was before."""
        return self._asking.get(agent_id) is asyncio.current_task()

    async def _read(self, agent_id: str) -> AgentCaller | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(agent).where(agent.c.agent_id == agent_id))).one_or_none()
        if row is None:
            return None
        return AgentCaller(
            name=f"agent {agent_id}",
            agent_id=agent_id,
            status=row.status,
            department_id=row.department_id,
            project_id=row.project_id,
            tier=row.tier,
            key=read_public(row.public_key),
            skew=0.0,
        )


async def agent_of_request(services: Services, request: web.Request, *, any_state: bool) -> AgentCaller:
    """The agent that signed the request. Raises Refused."""
    try:
        claim = read_claim(request.headers)
        known = await services.agents.get(claim.key_id)
        if known is None:
            raise Refused("agent-unknown")
        now = services.wall()
        prove(
            claim,
            request.method,
            request.rel_url.raw_path,
            request.rel_url.raw_query_string,
            request.headers,
            key=known.key,
            now=now,
        )
        promised = promised_digest(claim, request.headers)
    except RequestRefused as refused:
        raise Refused(refused.code, str(refused)) from None
    if known.status != "active":
        # It may have come back by another process of ours, and would stop for long if it were refused.
        services.agents.forget(known.agent_id)
        known = await services.agents.get(known.agent_id) or known
    refuse_state(known.status, any_state=any_state)
    return AgentCaller(
        name=known.name,
        promised_digest=promised,
        agent_id=known.agent_id,
        status=known.status,
        department_id=known.department_id,
        project_id=known.project_id,
        tier=known.tier,
        key=known.key,
        skew=claim.created - now,
    )


def refuse_state(status: str, *, any_state: bool = False) -> None:
    """Raises Refused for an agent that is not active."""
    if status != "active" and not any_state:
        raise Refused(_STATES[status])
