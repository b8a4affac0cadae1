"""What is forgotten of the past: commands, runs of several agents, outcomes of planned runs.

Nothing goes before its time, nothing that an agent could still obey or report, and nothing of which the
report's bytes are kept. A run of several agents goes as a whole. The counters of commands stay, so that no
number comes twice. Any process may be at it at any time: one at a time works, by few rows in a transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.tiers import DAY
from ots.server.database.assignment_tables import arrival, assignment, assignment_fetch
from ots.server.database.control_tables import command, command_event, group_run, group_run_agent
from ots.server.database.database import Database, alone
from ots.server.database.tables import report, server
from ots.server.identity import audit

USUALLY_KEPT, LEAST_KEPT = 400 * DAY, 3 * DAY
"""Seconds: as long as the longest usual keeping of reports; and longer than any agent remembers a command."""

_AT_ONCE = 200
_LOCK = 0x07_505A
_BEFORE = "planned runs known since"

Take = Callable[[AsyncConnection, Sequence[Any], float], Awaitable[int]]


class History:
    """`keep` is for how many seconds what is over is kept, LEAST_KEPT at least."""

    def __init__(self, database: Database, wall: Callable[[], float], keep: float = USUALLY_KEPT) -> None:
        self._database = database
        self._wall = wall
        self._keep = max(keep, LEAST_KEPT)

    async def once(self) -> int:
        """Forgets all that is due; how many rows of what people see that were.

        Raises DatabaseAway, DatabaseFull.
        """
        before = self._wall() - self._keep
        return (
            await self._forget("group runs", _due_runs(before).limit(1), _take_of_run, before)
            + await self._forget("commands", _due_commands(before), _take_commands, before)
            + await self._forget("planned runs", _due_arrivals(before), _take_arrivals, before)
            + await self._forget("fetched assignments", _due_fetches(before), _take_fetches, before)
        )

    async def _forget(self, what: str, due: Select[Any], take: Take, before: float) -> int:
        """Looks before it takes, since a look holds up nobody who writes."""
        taken = 0
        while True:
            async with self._database.reading() as connection:
                keys = (await connection.execute(due)).all()
            if not keys:
                return taken
            async with self._database.writing() as connection:
                count = await take(connection, keys, before) if await alone(connection, _LOCK) else 0
                if count:
                    await audit.note(
                        connection,
                        time=self._wall(),
                        actor="server",
                        action="retention",
                        object=what,
                        detail={what: count, "keep": self._keep},
                    )
            if not count:  # another process is at it, or has just changed them
                return taken
            taken += count


async def known_since(connection: AsyncConnection) -> float:
    """From when on the server knows of every planned run whether a report of it arrived."""
    kept = select(server.c.value).where(server.c.name == _BEFORE)
    return float((await connection.execute(kept)).scalar() or "-inf")


def _is_over(before: float) -> ColumnElement[bool]:
    """Of a command: settled, expired, and not waited for any more, all that long ago; no report is kept."""
    return and_(
        command.c.open.is_(False),
        command.c.changed < before,
        command.c.not_after < before,
        func.coalesce(command.c.lost_after, 0.0) < before,
        ~exists().where(
            report.c.agent_id == command.c.agent_id,
            report.c.report_id == command.c.report_id,
            report.c.removed.is_(None),
        ),
    )


def _due_commands(before: float) -> Select[Any]:
    return select(command.c.command_id).where(command.c.run_id.is_(None), _is_over(before)).limit(_AT_ONCE)


async def _take_commands(connection: AsyncConnection, keys: Sequence[Any], before: float) -> int:
    return await _take(connection, command.c.command_id.in_([key.command_id for key in keys]), before)


async def _take(connection: AsyncConnection, which: ColumnElement[bool], before: float) -> int:
    """Deletes those of these commands that are over, with their events; one that somebody moves is left."""
    found = await connection.execute(
        select(command.c.command_id)
        .where(which, _is_over(before))
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = list(found.scalars())
    if ids:
        await connection.execute(delete(command_event).where(command_event.c.command_id.in_(ids)))
        await connection.execute(delete(command).where(command.c.command_id.in_(ids)))
    return len(ids)


def _due_runs(before: float) -> Select[Any]:
    unfinished = exists().where(command.c.run_id == group_run.c.run_id, ~_is_over(before))
    return select(group_run.c.run_id).where(group_run.c.ended < before, ~unfinished)


async def _take_of_run(connection: AsyncConnection, keys: Sequence[Any], before: float) -> int:
    """The next commands of a run, and after the last of them its agents and the run itself."""
    run_id = keys[0].run_id
    locked = _due_runs(before).where(group_run.c.run_id == run_id).with_for_update(skip_locked=True)
    if (await connection.execute(locked)).first() is None:
        return 0
    taken = await _take(connection, command.c.run_id == run_id, before)
    left = select(command.c.command_id).where(command.c.run_id == run_id).limit(1)
    if (await connection.execute(left)).first() is not None:
        return taken
    await connection.execute(delete(group_run_agent).where(group_run_agent.c.run_id == run_id))
    await connection.execute(delete(group_run).where(group_run.c.run_id == run_id))
    return taken + 1


_ARRIVAL = (arrival.c.assignment_id, arrival.c.agent_id, arrival.c.planned)


def _due_arrivals(before: float) -> Select[Any]:
    kept = exists().where(report.c.id == arrival.c.report, report.c.removed.is_(None))
    return select(*_ARRIVAL).where(arrival.c.until < before, ~kept).limit(_AT_ONCE)


async def _take_arrivals(connection: AsyncConnection, keys: Sequence[Any], before: float) -> int:
    """Notes first that what is older is not to be missed."""
    if await known_since(connection) < before:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        said = insert(server).values(name=_BEFORE, value=repr(before))
        await connection.execute(
            said.on_conflict_do_update(index_elements=["name"], set_={"value": said.excluded.value})
        )
    gone = delete(arrival).where(tuple_(*_ARRIVAL).in_([tuple(key) for key in keys]))
    return (await connection.execute(gone)).rowcount


_FETCH = (assignment_fetch.c.assignment_id, assignment_fetch.c.agent_id)


def _due_fetches(before: float) -> Select[Any]:
    """Who had an assignment that has long been retired."""
    return (
        select(*_FETCH)
        .join(assignment, assignment.c.assignment_id == assignment_fetch.c.assignment_id)
        .where(assignment.c.retired < before)
        .limit(_AT_ONCE)
    )


async def _take_fetches(connection: AsyncConnection, keys: Sequence[Any], _before: float) -> int:
    gone = delete(assignment_fetch).where(tuple_(*_FETCH).in_([tuple(key) for key in keys]))
    return (await connection.execute(gone)).rowcount
