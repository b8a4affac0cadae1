"""Makes commands: numbers them for their agent, signs them with the server's command key, keeps them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.clock import rfc3339
from ots.policy.issuer import Issuer
from ots.remote import control_wire as wire
from ots.server.api.problems import Refused
from ots.server.control.bus import Change
from ots.server.database.control_tables import command, command_counter, command_event
from ots.session.identity import uuid7
from ots.signing.statement import MAX_CHARACTERS, sign

if TYPE_CHECKING:
    from ots.server.services import Services

MOST_OPEN = 16
"""Commands of one agent that may be unsettled at once."""

_SLICE = 500
"""Agents whose commands are made by the same statements."""

LOST_AFTER = 600.0
"""Seconds beyond its longest duration after which a run that says nothing counts as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a command says, whoever it is for. `alive` is the seconds from its moment until it expires; each
    agent's moment lies at random within `spread` seconds from now."""

    kind: wire.Kind
    args: dict[str, Any]
    by: str
    role: str | None
    alive: float
    spread: float = 0.0
    max_duration: float = 0.0
    run_id: str | None = None


async def issue(services: Services, change: Change, agent: Any, errand: Errand, now: float) -> str:
    """Signs and queues a command for an agent (its row, with `department` and `project`); returns its id.

    Raises Refused: `busy`, `invalid-body`.
    """
    issued = (await issue_all(services, change, [agent], errand, now))[agent.agent_id]
    if isinstance(issued, Refused):
        raise issued
    return issued


async def issue_all(
    services: Services, change: Change, agents: Sequence[Any], errand: Errand, now: float
) -> dict[str, str | Refused]:
    """The same for many agents at once: by agent, the command's id or why it has none. Raises Refused where
    the command is too long."""
    found: dict[str, str | Refused] = {}
    for start in range(0, len(agents), _SLICE):
        part = agents[start : start + _SLICE]
        waiting = await _waiting(change.connection, [row.agent_id for row in part])
        able = []
        for row in part:
            count = waiting.get(row.agent_id, 0)
            if count >= MOST_OPEN and errand.kind != "stop":
                text = f"{count} commands of this agent are not settled yet"
                found[row.agent_id] = Refused("busy", text, retry_after=30)
            else:
                able.append(row)
        if able:
            numbers = await _next(change.connection, [row.agent_id for row in able])
            rows = await asyncio.to_thread(_signed, services, able, errand, numbers, now)
            await change.connection.execute(insert(command), rows)
            await change.connection.execute(
                insert(command_event),
                [
                    {"command_id": row["command_id"], "time": now, "state": "queued", "by": errand.by}
                    for row in rows
                ],
            )
            found |= {row["agent_id"]: row["command_id"] for row in rows}
            change.tell(*(f"c:{row['agent_id']}" for row in rows))
    return found


def _signed(
    services: Services, agents: Sequence[Any], errand: Errand, numbers: Mapping[str, int], now: float
) -> list[dict[str, Any]]:
    """The rows of the commands. Raises Refused."""
    args = json.dumps(errand.args, ensure_ascii=False)
    rows = []
    for agent in agents:
        start = now + random.uniform(0, errand.spread)
        made = wire.Command(
            command_id=uuid7(now),
            agent_id=agent.agent_id,
            kind=errand.kind,
            seq=numbers[agent.agent_id],
            issued_at=rfc3339(now),
            not_before=rfc3339(start),
            not_after=rfc3339(start + errand.alive),
            issuer=Issuer(
                kind="remote",
                user=errand.by,
                role=errand.role,
                department=agent.department,
                project=agent.project,
                server_id=services.server_id,
            ),
            args=errand.args,
        )
        text = sign(msgspec.to_builtins(made), wire.COMMAND, services.keys.command)
        if len(text) > MAX_CHARACTERS:
            raise Refused("invalid-body", "the command is too long: fewer parameters, tags or thresholds")
        rows.append(
            {
                "command_id": made.command_id,
                "agent_id": agent.agent_id,
                "run_id": errand.run_id,
                "kind": errand.kind,
                "state": "queued",
                "seq": made.seq,
                "text": text,
                "args": args,
                "issued": now,
                "issued_by": errand.by,
                "not_before": start,
                "not_after": start + errand.alive,
                "lost_after": start + errand.alive + errand.max_duration + LOST_AFTER,
                "changed": now,
                "open": True,
            }
        )
    return rows


async def _waiting(connection: AsyncConnection, agents: Sequence[str]) -> dict[str, int]:
    """How many unsettled commands each of these agents has."""
    rows = await connection.execute(
        select(command.c.agent_id, func.count())
        .where(command.c.agent_id.in_(agents), command.c.open.is_(True))
        .group_by(command.c.agent_id)
    )
    return {agent_id: count for agent_id, count in rows}


async def catch_up(connection: AsyncConnection, agent_id: str, seq: int) -> None:
    """The next command gets a number above `seq`, which the agent has seen and a restored database not."""
    known = select(command_counter.c.seq).where(command_counter.c.agent_id == agent_id)
    if ((await connection.execute(known)).scalar() or 0) >= seq:
        return
    insertion = _insert(connection)(command_counter).values(agent_id=agent_id, seq=seq)
    await connection.execute(
        insertion.on_conflict_do_update(
            index_elements=["agent_id"], set_={"seq": seq}, where=command_counter.c.seq < seq
        )
    )


async def _next(connection: AsyncConnection, agents: Sequence[str]) -> dict[str, int]:
    """Each agent's next number; whoever else wants one of theirs waits until this transaction has ended.

    In the order of their ids, so that two transactions never wait for each other.
    """
    insertion = _insert(connection)(command_counter).values(
        [{"agent_id": agent_id, "seq": 1} for agent_id in sorted(agents)]
    )
    taken = await connection.execute(
        insertion.on_conflict_do_update(
            index_elements=["agent_id"], set_={"seq": command_counter.c.seq + 1}
        ).returning(command_counter.c.agent_id, command_counter.c.seq)
    )
    return {agent_id: int(seq) for agent_id, seq in taken}


def _insert(connection: AsyncConnection) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
