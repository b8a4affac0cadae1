"""Runs of several agents, as people start, watch and stop them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import ColumnElement, exists, insert, select, update

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.control.bus import Change
from ots.server.control.command_operations import (
    USUAL_ALIVE,
    Alive,
    WatchQuery,
    rows_of_run,
    watched,
    withdraw,
)
from ots.server.control.conducting import begin_stage, locked
from ots.server.control.group_views import (
    GroupRunDetail,
    GroupRunView,
    Member,
    RunState,
    detail_of,
    members_of,
    view_of,
)
from ots.server.control.run_wish import RunWish, run_args
from ots.server.control.selecting import Choice, licence_says, selected
from ots.server.database.control_tables import group_run, group_run_agent
from ots.server.database.tables import agent
from ots.server.identity.caller import Reach
from ots.session.identity import uuid7

_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Canary(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """First one agent, then this share of all, then the rest; no further where more than `stop_at` of those
    asked so far refused or could not measure.
    """

    share: _Share = 0.05
    stop_at: _Share = 0.2


class GroupWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A run on several agents, each beginning at random within `spread` seconds.

    `preview` only says which agents it would be for, and what each one's licence says; `previewGroupRun` asks
    the agents themselves.
    """

    on: Choice
    run: RunWish
    canary: Canary | None = None
    spread: Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)] = 0.0
    expires_in: Alive = USUAL_ALIVE
    preview: bool = False


class GroupRunPage(msgspec.Struct, kw_only=True):
    items: list[GroupRunView]
    next: str | None


class GroupRunQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which runs, the newest first."""

    state: RunState | None = None


async def start(call: Call) -> Answer:
    """Finds the agents, asks each one's licence, and gives the command to the first stage."""
    wish: GroupWish = call.body
    services, now, reach = call.services, call.services.wall(), call.person.reach("commands:run")
    run_id = uuid7(now)
    async with services.control.bus.changing() as change:
        chosen = await selected(change.connection, wish.on, reach)
        if not chosen:
            raise Refused("not-found", "no active agent within your reach fits")
        allowed = await services.grants.of_agents(change.connection, [row.agent_id for row in chosen], now)
        refused = {row.agent_id: licence_says(allowed[row.agent_id], len(chosen)) for row in chosen}
        if all(refused.values()):
            raise Refused("licence-required", next(filter(None, refused.values())))
        able = [row for row in chosen if refused[row.agent_id] is None]
        stages = _stages(len(able), wish.canary)
        if wish.preview:
            return Answer(200, _previewed(run_id, wish, chosen, refused, stages, now, call.person.name))
        await change.connection.execute(
            insert(group_run).values(
                run_id=run_id,
                state="running",
                stage=0,
                stages=json.dumps(stages),
                case_name=wish.run.case,
                args=json.dumps(run_args(wish.run, run_id=run_id, agents=len(chosen))),
                selector=msgspec.json.encode(wish.on).decode(),
                alive=wish.expires_in,
                spread=wish.spread,
                stop_at=1.0 if wish.canary is None else wish.canary.stop_at,
                created=now,
                created_by=call.person.name,
                role=call.person.role_at(chosen[0].department_id, chosen[0].project_id) or "",
            )
        )
        ends = [sum(stages[: index + 1]) for index in range(len(stages))]
        places = {row.agent_id: _stage_of(index, ends) for index, row in enumerate(able)}
        await change.connection.execute(
            insert(group_run_agent),
            [
                {
                    "run_id": run_id,
                    "agent_id": row.agent_id,
                    "stage": places.get(row.agent_id, 0),
                    "refused": None if refused[row.agent_id] is None else "licence-required",
                }
                for row in chosen
            ],
        )
        run = await locked(change.connection, run_id)
        await begin_stage(services, change, run, 0, now)
        await _note(
            call, change, "start", run_id, now, {"case": wish.run.case, "agents": len(chosen)}, chosen
        )
        change.tell(f"r:{run_id}")
        detail = await detail_of(change.connection, call, run_id)
    return Answer(201, detail)


async def list_runs(call: Call) -> Answer:
    """The runs with an agent within the caller's reach."""
    wanted: GroupRunQuery = call.query
    reach = call.person.reach("commands:read")
    query = select(group_run).where(_touches(reach))
    if wanted.state is not None:
        query = query.where(group_run.c.state == wanted.state)
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, group_run.c.run_id, wanted, newest_first=True)
        items = [view_of(row, await members_of(connection, reach, row.run_id)) for row in rows]
    return Answer(200, GroupRunPage(items=items, next=following))


async def show(call: Call) -> Answer:
    """One run with its agents; waits for news of it if it is asked to."""

    async def look() -> GroupRunDetail:
        async with call.services.database.reading() as connection:
            return await detail_of(connection, call, call.path["run_id"])

    return Answer(200, await watched(call, f"r:{call.path['run_id']}", call.query, look))


async def stop(call: Call) -> Answer:
    """No further agent begins; those that run are told to stop."""
    now, run_id = call.services.wall(), call.path["run_id"]
    reach = call.person.reach("commands:run")
    async with call.services.control.bus.changing() as change:
        run = await locked(change.connection, run_id)
        rows = [
            row
            for row in await rows_of_run(change.connection, run_id)
            if reach.covers(row.department_id, row.project_id)
        ]
        if run is None or not rows:
            raise Refused("not-found")
        change.tell(f"r:{run_id}")
        if run.state == "running":
            await change.connection.execute(
                update(group_run)
                .where(group_run.c.run_id == run_id)
                .values(state="stopped", ended=now, reason=f"stopped by {call.person.name}")
            )
        for row in rows:
            await withdraw(call, change, row, now)
        await _note(call, change, "stop", run_id, now, {}, rows)
        detail = await detail_of(change.connection, call, run_id)
    return Answer(200, detail)


async def _note(
    call: Call,
    change: Change,
    action: str,
    run_id: str,
    now: float,
    detail: dict[str, Any],
    rows: Sequence[Any],
) -> None:
    """The entry names department and project where all agents have the same."""
    places = {(row.department_id, row.project_id) for row in rows}
    department_id, project_id = places.pop() if len(places) == 1 else (None, None)
    await call.note(
        change.connection,
        f"{action} group run",
        f"group run {run_id}",
        detail=detail,
        department_id=department_id,
        project_id=project_id,
    )


def _stages(agents: int, canary: Canary | None) -> list[int]:
    """How many agents each stage asks."""
    if canary is None or agents <= 1:
        return [agents]
    second = max(0, math.ceil(agents * canary.share) - 1)
    return [part for part in (1, second, agents - 1 - second) if part]


def _stage_of(index: int, ends: Sequence[int]) -> int:
    return next(stage for stage, end in enumerate(ends) if index < end)


def _touches(reach: Reach) -> ColumnElement[bool]:
    """Whether an agent of the run is within reach."""
    return exists().where(
        group_run_agent.c.run_id == group_run.c.run_id,
        group_run_agent.c.agent_id == agent.c.agent_id,
        reach.condition(agent),
    )


def _previewed(
    run_id: str, wish: GroupWish, chosen: Sequence[Any], refused: dict[str, str | None], stages: list[int],
    now: float, who: str,
) -> GroupRunDetail:  # fmt: skip
    """What would be: nothing of it is kept."""
    members = [
        Member(
            agent_id=row.agent_id, name=row.name, stage=0,
            state="created" if refused[row.agent_id] is None else "rejected",
            command_id=None, reason=refused[row.agent_id], verdict=None, report_id=None, report=None,
            progress=None,
        )
        for row in chosen
    ]  # fmt: skip
    return GroupRunDetail(
        run_id=run_id, case=wish.run.case, state="ended", settled=True, stage=0, stages=stages,
        created=stamp(now), created_by=who, ended=None, reason="preview", agents=len(chosen),
        counts=dict(Counter(member.state for member in members)), verdict=None, members=members, mark="",
    )  # fmt: skip


OPERATIONS = (
    Operation(
        name="startGroupRun",
        method="POST",
        path="/api/v1/group-runs",
        summary="Run a case on several agents, or say which they would be.",
        access=Access.PERSON,
        scope="commands:run",
        rate=Rate.WRITE,
        takes=GroupWish,
        gives={201: GroupRunDetail, 200: GroupRunDetail},
        problems=("licence-required", "storage-full"),
        handle=start,
    ),
    Operation(
        name="listGroupRuns",
        method="GET",
        path="/api/v1/group-runs",
        summary="List runs of several agents.",
        access=Access.PERSON,
        scope="commands:read",
        rate=Rate.READ,
        query=GroupRunQuery,
        gives={200: GroupRunPage},
        handle=list_runs,
    ),
    Operation(
        name="showGroupRun",
        method="GET",
        path="/api/v1/group-runs/{run_id}",
        summary="Show a run with its agents, or wait for news of it.",
        access=Access.PERSON,
        scope="commands:read",
        rate=Rate.READ,
        query=WatchQuery,
        gives={200: GroupRunDetail},
        handle=show,
    ),
    Operation(
        name="stopGroupRun",
        method="DELETE",
        path="/api/v1/group-runs/{run_id}",
        summary="Stop a run: nobody begins any more, and who runs is told to stop.",
        access=Access.PERSON,
        scope="commands:run",
        rate=Rate.WRITE,
        gives={200: GroupRunDetail},
        problems=("busy", "storage-full"),
        handle=stop,
    ),
)
