"""Makes commands: numbers them for their agent, signs them with the server's command key, keeps them."""

from __future__ import annotations

import json
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

LOST_AFTER = 600.0
"""Seconds beyond its longest duration after which a run that says nothing counts as lost."""


async def issue(
    services: Services,
    change: Change,
    agent: Any,
    kind: wire.Kind,
    args: dict[str, Any],
    *,
    by: str,
    role: str | None,
    now: float,
    alive: float,
    not_before: float | None = None,
    max_duration: float = 0.0,
    run_id: str | None = None,
) -> str:
    """Signs and queues a command for an agent (its row, with `department` and `project`); returns its id.

    `alive` is the seconds until it expires. Raises Refused: `busy`, `invalid-body`.
    """
    connection = change.connection
    waiting = (
        await connection.execute(
            select(func.count())
            .select_from(command)
            .where(command.c.agent_id == agent.agent_id, command.c.open.is_(True))
        )
    ).scalar_one()
    if waiting >= MOST_OPEN and kind != "stop":
        raise Refused("busy", f"{waiting} commands of this agent are not settled yet", retry_after=30)
    start = now if not_before is None else not_before
    made = wire.Command(
        command_id=uuid7(now),
        agent_id=agent.agent_id,
        kind=kind,
        seq=await _next(connection, agent.agent_id),
        issued_at=rfc3339(now),
        not_before=rfc3339(start),
        not_after=rfc3339(start + alive),
        issuer=Issuer(
            kind="remote",
            user=by,
            role=role,
            department=agent.department,
            project=agent.project,
            server_id=services.server_id,
        ),
        args=args,
    )
    text = sign(msgspec.to_builtins(made), wire.COMMAND, services.keys.command)
    if len(text) > MAX_CHARACTERS:
        raise Refused("invalid-body", "the command is too long: fewer parameters, tags or thresholds")
    await connection.execute(
        insert(command).values(
            command_id=made.command_id,
            agent_id=agent.agent_id,
            run_id=run_id,
            kind=kind,
            state="queued",
            seq=made.seq,
            text=text,
            args=json.dumps(args, ensure_ascii=False),
            issued=now,
            issued_by=by,
            not_before=start,
            not_after=start + alive,
            lost_after=start + alive + max_duration + LOST_AFTER,
            changed=now,
            open=True,
        )
    )
    await connection.execute(
        insert(command_event).values(command_id=made.command_id, time=now, state="queued", by=by)
    )
    change.tell(f"c:{agent.agent_id}")
    return made.command_id


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


async def _next(connection: AsyncConnection, agent_id: str) -> int:
    """The agent's next number; whoever else wants one waits until this transaction has ended."""
    insertion = _insert(connection)(command_counter).values(agent_id=agent_id, seq=1)
    taken = await connection.execute(
        insertion.on_conflict_do_update(
            index_elements=["agent_id"], set_={"seq": command_counter.c.seq + 1}
        ).returning(command_counter.c.seq)
    )
    return int(taken.scalar_one())


def _insert(connection: AsyncConnection) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
