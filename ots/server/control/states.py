"""How a command goes from being queued to its end: the only moves, and the record of each.

A `created` command waits for its turn in a group run and is no row of `command` yet. What an agent says of
its own ledger is the truth of what it did: it corrects an end that was only the server's guess (`expired`,
`cancelled`, `lost`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.database.control_tables import command, command_event

State = Literal[
    "created",
    "queued",
    "delivered",
    "accepted",
    "started",
    "done",
    "rejected",
    "expired",
    "cancelled",
    "lost",
]
STATES: tuple[State, ...] = get_args(State)
FINAL: frozenset[State] = frozenset({"done", "rejected", "expired", "cancelled", "lost"})
GUESSED: frozenset[State] = frozenset({"expired", "cancelled", "lost"})

_BEFORE: dict[State, frozenset[State]] = {
    "queued": frozenset({"created"}),
    "delivered": frozenset({"queued"}),
    "accepted": frozenset({"queued", "delivered", *GUESSED}),
    "started": frozenset({"queued", "delivered", "accepted", *GUESSED}),
    "done": frozenset({"queued", "delivered", "accepted", "started", *GUESSED}),
    "rejected": frozenset({"queued", "delivered", "accepted", "started", *GUESSED}),
    "expired": frozenset({"created", "queued", "delivered", "accepted"}),
    "cancelled": frozenset({"created", "queued", "delivered", "accepted"}),
    "lost": frozenset({"accepted", "started"}),
}
"""From which states each may be reached."""


def may_move(before: State, after: State) -> bool:
    """Whether this is one of the permitted moves."""
    return before in _BEFORE.get(after, frozenset())


async def move(
    connection: AsyncConnection,
    command_id: str,
    after: State,
    *,
    now: float,
    by: str,
    reason: str | None = None,
    **facts: Any,
) -> bool:
    """Moves a command and records it; False where its present state does not allow it, or there is none.

    `facts` are further columns to set with it.
    """
    done = await connection.execute(
        update(command)
        .where(command.c.command_id == command_id, command.c.state.in_(_BEFORE[after]))
        .values(state=after, open=after not in FINAL, changed=now, reason=reason, **facts)
    )
    if not done.rowcount:
        return False
    await connection.execute(
        insert(command_event).values(command_id=command_id, time=now, state=after, by=by, reason=reason)
    )
    return True


async def move_all(
    connection: AsyncConnection, commands: Sequence[str], after: State, *, now: float, by: str
) -> Sequence[Any]:
    """The same for many commands, with nothing else to set; returns `command_id` and `run_id` of those that
    were moved."""
    if not commands:
        return []
    moved = (
        await connection.execute(
            update(command)
            .where(command.c.command_id.in_(commands), command.c.state.in_(_BEFORE[after]))
            .values(state=after, open=after not in FINAL, changed=now)
            .returning(command.c.command_id, command.c.run_id)
        )
    ).all()
    if moved:
        await connection.execute(
            insert(command_event),
            [{"command_id": row.command_id, "time": now, "state": after, "by": by} for row in moved],
        )
    return moved
