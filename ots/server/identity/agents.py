"""Which agent signed a request. What is known of an agent is kept for a second; uploads look again."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeAlias

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
_AT_ONCE = 500
_Answer: TypeAlias = "asyncio.Future[AgentCaller | None]"
_STATES = {
    "pending": "agent-pending",
    "suspended": "agent-suspended",
    "revoked": "agent-revoked",
    "left": "agent-left",
}


class KnownAgents:
    """The agents that called within the last second, so that a busy one costs no query each time.

    Who asks while a query runs is answered by the next one, with all others: thousands may come at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, tuple[float, AgentCaller | None]] = OrderedDict()
        self._asked: dict[str, _Answer] = {}
        self._unread: list[tuple[str, _Answer]] = []
        self._reader: asyncio.Task[None] | None = None

    def forget(self, agent_id: str) -> None:
        self._known.pop(agent_id, None)
        self._asked.pop(agent_id, None)

    async def get(self, agent_id: str) -> AgentCaller | None:
        """The agent's row, None if there is none. Raises DatabaseAway."""
        read, caller = self._known.get(agent_id, (-math.inf, None))
        age = time.monotonic() - read
        answer = self._asked.get(agent_id)
        if answer is None and age > _FRESH / 2:  # before a busy one has to wait for it
            answer = self._ask(agent_id)
        if answer is None or age < _FRESH:
            return caller
        return await asyncio.shield(answer)

    def _ask(self, agent_id: str) -> _Answer:
        answer: _Answer = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_note_failure)
        self._asked[agent_id] = answer
        self._unread.append((agent_id, answer))
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_on(), name="agents' rows")
        return answer

    async def _read_on(self) -> None:
        while self._unread:
            batch, self._unread = self._unread[:_AT_ONCE], self._unread[_AT_ONCE:]
            now = time.monotonic()
            try:
                rows = await self._read({agent_id for agent_id, _ in batch})
            except Exception as error:  # noqa: BLE001 - whoever asked hears of it
                for agent_id, answer in batch:
                    self._take_back(agent_id, answer)
                    answer.set_exception(error)
                continue
            for agent_id, answer in batch:
                self._give(agent_id, answer, rows.get(agent_id), now)
            self._let_go(now)

    def _give(self, agent_id: str, answer: _Answer, row: Any, now: float) -> None:
        current = self._take_back(agent_id, answer)
        try:
            caller = None if row is None else _caller(row)
        except ValueError as error:
            answer.set_exception(error)
            return
        if current:
            self._known[agent_id] = (now, caller)
            self._known.move_to_end(agent_id)
        answer.set_result(caller)

    def _take_back(self, agent_id: str, answer: _Answer) -> bool:
        """Not if the agent was forgotten meanwhile: what is read may be what was before."""
        if self._asked.get(agent_id) is not answer:
            return False
        del self._asked[agent_id]
        return True

    def _let_go(self, now: float) -> None:
        """Of those that are not fresh any more: thousands call once and stay on their line."""
        while len(self._known) > 1 and next(iter(self._known.values()))[0] < now - _FRESH:
            self._known.popitem(last=False)

    async def _read(self, agents: Collection[str]) -> dict[str, Any]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(agent).where(agent.c.agent_id.in_(agents)))).all()
        return {row.agent_id: row for row in rows}


def _caller(row: Any) -> AgentCaller:
    """Raises ValueError for a key that is none."""
    return AgentCaller(
        name=f"agent {row.agent_id}",
        agent_id=row.agent_id,
        status=row.status,
        department_id=row.department_id,
        project_id=row.project_id,
        tier=row.tier,
        key=read_public(row.public_key),
        skew=0.0,
    )


def _note_failure(answer: _Answer) -> None:
    """Asked ahead of time, an answer may have nobody who waits for it."""
    if not answer.cancelled():
        answer.exception()


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
