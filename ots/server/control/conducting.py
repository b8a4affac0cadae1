"""Leads runs of several agents: one stage after the other, and no further where too many refuse or fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.problems import Refused
from ots.server.control.bus import RESCAN, Bus, Change
from ots.server.control.issuing import Errand, issue_all
from ots.server.control.states import FINAL
from ots.server.control.steadily import steadily
from ots.server.database.control_tables import command, group_run, group_run_agent
from ots.server.database.tables import agent, department, project

if TYPE_CHECKING:
    from ots.server.services import Services

_PAUSE = 0.2


class Conductor:
    """One task in each process. A run is advanced under its row's lock, by whichever process hears of it."""

    def __init__(self, services: Services, bus: Bus) -> None:
        self._services = services
        self._bus = bus
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        bus.subscribe(self._told)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="control conductor")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _told(self, topic: str) -> None:
        kind, _, run_id = topic.partition(":")
        if kind == "r":
            self._due.add(run_id)
            self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RESCAN):
                    await self._wake.wait()
            except TimeoutError:
                await steadily("the look for group runs", self._find_running)
            self._wake.clear()
            due, self._due = self._due, set()
            for run_id in due:
                await steadily(f"group run {run_id}", partial(advance, self._services, self._bus, run_id))
            await asyncio.sleep(_PAUSE)

    async def _find_running(self) -> None:
        async with self._services.database.reading() as connection:
            found = await connection.execute(select(group_run.c.run_id).where(group_run.c.state == "running"))
            self._due |= set(found.scalars())


async def advance(services: Services, bus: Bus, run_id: str) -> None:
    """Ends the present stage if it is over, and begins the next; nothing where it isn't."""
    async with services.database.reading() as connection:
        waited_for = select(command.c.command_id).where(command.c.run_id == run_id, command.c.open.is_(True))
        if (await connection.execute(waited_for.limit(1))).first() is not None:
            return
    async with bus.changing() as change:
        run = await locked(change.connection, run_id)
        if run is None or run.state != "running":
            return
        rows = [row for row in await members(change.connection, run_id) if row.stage <= run.stage]
        if not _over(rows):
            return
        change.tell(f"r:{run_id}")
        now = services.wall()
        refused = sum(is_bad(row) for row in rows)
        stages: list[int] = json.loads(run.stages)
        if run.stage + 1 < len(stages) and refused <= run.stop_at * len(rows):
            await begin_stage(services, change, run, run.stage + 1, now)
            return
        stopped = run.stage + 1 < len(stages)
        await change.connection.execute(
            update(group_run)
            .where(group_run.c.run_id == run_id)
            .values(
                state="stopped" if stopped else "ended",
                ended=now,
                reason=f"{refused} of {len(rows)} refused or failed to run" if stopped else None,
            )
        )


async def begin_stage(services: Services, change: Change, run: Any, stage: int, now: float) -> None:
    """Gives the command to the agents of a stage; one that can't have it is noted as refused."""
    args = json.loads(run.args)
    rows = (
        await change.connection.execute(
            select(agent, department.c.number.label("department"), project.c.number.label("project"))
            .join(group_run_agent, group_run_agent.c.agent_id == agent.c.agent_id)
            .outerjoin(department, department.c.id == agent.c.department_id)
            .outerjoin(project, project.c.id == agent.c.project_id)
            .where(
                group_run_agent.c.run_id == run.run_id,
                group_run_agent.c.stage == stage,
                group_run_agent.c.refused.is_(None),
            )
            .order_by(agent.c.agent_id)
        )
    ).all()
    errand = Errand(
        kind="run",
        args=args,
        by=run.created_by,
        role=run.role,
        alive=run.alive,
        spread=run.spread,
        max_duration=args["max_duration"],
        run_id=run.run_id,
    )
    there = [row for row in rows if row.status == "active"]
    issued = await issue_all(services, change, there, errand, now)
    outcome = [(row.agent_id, issued.get(row.agent_id, Refused("conflict"))) for row in rows]
    if outcome:
        await change.connection.execute(
            update(group_run_agent)
            .where(group_run_agent.c.run_id == run.run_id, group_run_agent.c.agent_id == bindparam("of"))
            .values(command_id=bindparam("made"), refused=bindparam("why")),
            [
                {"of": agent_id, "made": None, "why": found.code}
                if isinstance(found, Refused)
                else {"of": agent_id, "made": found, "why": None}
                for agent_id, found in outcome
            ],
        )
    await change.connection.execute(
        update(group_run).where(group_run.c.run_id == run.run_id).values(stage=stage)
    )


async def locked(connection: AsyncConnection, run_id: str) -> Any | None:
    """The run's row; nobody else changes it until this transaction has ended."""
    return (
        await connection.execute(select(group_run).where(group_run.c.run_id == run_id).with_for_update())
    ).one_or_none()


async def members(connection: AsyncConnection, run_id: str) -> Sequence[Any]:
    """The run's agents with their commands, as far as there are any."""
    return (
        await connection.execute(
            select(
                group_run_agent.c.stage,
                group_run_agent.c.agent_id,
                group_run_agent.c.refused,
                command.c.command_id,
                command.c.state,
                command.c.verdict,
                command.c.reason,
            )
            .outerjoin(command, command.c.command_id == group_run_agent.c.command_id)
            .where(group_run_agent.c.run_id == run_id)
        )
    ).all()


def is_settled(row: Any) -> bool:
    """Whether nothing more is to come of this agent."""
    return row.refused is not None or row.state in FINAL


def is_bad(row: Any) -> bool:
    """Whether this agent did not measure: it refused, was not there, broke off, or could not judge.

    A failed limit is a result, and no reason to stop.
    """
    return row.refused is not None or row.state != "done" or row.verdict in (None, "error")


def _over(rows: Sequence[Any]) -> bool:
    """Whether all that were asked so far are settled; those of later stages have no command yet."""
    asked = [row for row in rows if row.refused is not None or row.state is not None]
    return bool(asked) and all(is_settled(row) for row in asked)
