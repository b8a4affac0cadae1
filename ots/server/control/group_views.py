"""A run of several agents as people see it: the run, its agents, and the verdict of all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.operation import Call
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.control.command_operations import ProgressView, mark_of, progress_of
from ots.server.control.conducting import is_settled
from ots.server.control.states import State
from ots.server.database.control_tables import command, group_run, group_run_agent
from ots.server.database.tables import agent, report
from ots.server.identity.caller import Reach

RunState = Literal["running", "ended", "stopped"]
Verdict = Literal["fail", "error", "warn", "pass", "measured", "skipped"]
_WORST_FIRST: tuple[Verdict, ...] = ("fail", "error", "warn", "pass", "measured", "skipped")


class Member(msgspec.Struct, kw_only=True):
    """One agent of the run; `created`: its turn has not come. `report` is its report's number, once here."""

    agent_id: str
    name: str
    stage: int
    state: State
    command_id: str | None
    reason: str | None
    verdict: str | None
    report_id: str | None
    report: int | None
    progress: ProgressView | None


class GroupRunView(msgspec.Struct, kw_only=True):
    """A run of several agents. `verdict` is the worst of all members once all are `settled`.

    `counts` are of states, `stages` the numbers of agents that each stage asks.
    """

    run_id: str
    case: str
    state: RunState
    settled: bool
    stage: int
    stages: list[int]
    created: str
    created_by: str
    ended: str | None
    reason: str | None
    agents: int
    counts: dict[str, int]
    verdict: Verdict | None


class GroupRunDetail(GroupRunView, kw_only=True):
    """A run with its agents, as far as they are within the caller's reach."""

    members: list[Member]
    mark: str


async def members_of(connection: AsyncConnection, reach: Reach, run_id: str) -> Sequence[Any]:
    return (
        await connection.execute(
            select(
                group_run_agent.c.agent_id,
                group_run_agent.c.stage,
                group_run_agent.c.refused,
                agent.c.name,
                command.c.command_id,
                command.c.state,
                command.c.reason,
                command.c.verdict,
                command.c.report_id,
                command.c.progress,
                report.c.id.label("report"),
            )
            .join(agent, agent.c.agent_id == group_run_agent.c.agent_id)
            .outerjoin(command, command.c.command_id == group_run_agent.c.command_id)
            .outerjoin(
                report,
                (report.c.agent_id == command.c.agent_id) & (report.c.report_id == command.c.report_id),
            )
            .where(group_run_agent.c.run_id == run_id, reach.condition(agent))
            .order_by(group_run_agent.c.stage, agent.c.name, agent.c.agent_id)
        )
    ).all()


async def detail_of(connection: AsyncConnection, call: Call, run_id: str) -> GroupRunDetail:
    run = (await connection.execute(select(group_run).where(group_run.c.run_id == run_id))).one_or_none()
    rows = await members_of(connection, call.person.reach("commands:read"), run_id)
    if run is None or not rows:
        raise Refused("not-found")
    view = view_of(run, rows)
    found = [member_of(row) for row in rows]
    mark = mark_of(msgspec.to_builtins([view, found]))
    return GroupRunDetail(**msgspec.structs.asdict(view), members=found, mark=mark)


def member_of(row: Any) -> Member:
    state: State = "rejected" if row.refused is not None else row.state or "created"
    return Member(
        agent_id=row.agent_id,
        name=row.name,
        stage=row.stage,
        state=state,
        command_id=row.command_id,
        reason=row.refused or row.reason,
        verdict=row.verdict,
        report_id=row.report_id,
        report=row.report,
        progress=progress_of(row.progress),
    )


def view_of(run: Any, rows: Sequence[Any]) -> GroupRunView:
    asked = [row for row in rows if row.refused is not None or row.state is not None]
    settled = run.state != "running" and all(is_settled(row) for row in asked)
    return GroupRunView(
        run_id=run.run_id,
        case=run.case_name,
        state=run.state,
        settled=settled,
        stage=run.stage,
        stages=json.loads(run.stages),
        created=stamp(run.created),
        created_by=run.created_by,
        ended=stamp(run.ended),
        reason=run.reason,
        agents=len(rows),
        counts=dict(Counter(member_of(row).state for row in rows)),
        verdict=_verdict(rows) if settled else None,
    )


def _verdict(rows: Sequence[Any]) -> Verdict:
    """The worst of all; an agent that did not measure could not be judged."""
    verdicts = {
        row.verdict if row.state == "done" and row.verdict in _WORST_FIRST else "error" for row in rows
    }
    return next(verdict for verdict in _WORST_FIRST if verdict in verdicts)
