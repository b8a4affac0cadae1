"""Commands to one agent, as people give, see and withdraw them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.remote import control_wire as wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.control.bus import Change
from ots.server.control.issuing import Errand, issue
from ots.server.control.run_wish import RunWish, run_args
from ots.server.control.states import FINAL, State, move
from ots.server.database.control_tables import command, command_event
from ots.server.database.tables import agent, department, project

MOST_PATIENCE = 25.0
USUAL_ALIVE = 120.0

_SCOPES: dict[wire.Kind, str] = {
    "ping": "commands:read",
    "status": "commands:read",
    "run": "commands:run",
    "preview": "commands:run",
    "stop": "commands:run",
    "sync": "commands:run",
    "diagnose": "commands:run",
    "hold": "commands:hold",
    "release": "commands:hold",
}
"""What a person needs to give each kind of command."""

Alive = Annotated[float, msgspec.Meta(ge=5.0, le=wire.MOST_ALIVE)]
Patience = Annotated[float, msgspec.Meta(ge=0.0, le=MOST_PATIENCE)]


class CommandWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A command for one agent. `run` is for the kinds `run` and `preview`, `command_id` for `stop`.

    `expires_in` seconds after its making (of a run: after its moment) it is void.
    """

    kind: wire.Kind
    run: RunWish | None = None
    command_id: Annotated[str, msgspec.Meta(min_length=36, max_length=36)] | None = None
    expires_in: Alive = USUAL_ALIVE
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ProgressView(msgspec.Struct, kw_only=True):
    """The last that was heard of a run."""

    step: str | None
    fraction: float | None
    text: str | None


class CommandView(msgspec.Struct, kw_only=True):
    """A command and what became of it. `mark` changes whenever anything of it does."""

    command_id: str
    agent_id: str
    agent_name: str
    run_id: str | None
    kind: wire.Kind
    state: State
    issued: str
    issued_by: str
    not_before: str
    not_after: str
    changed: str
    reason: str | None
    verdict: str | None
    report_id: str | None
    progress: ProgressView | None
    mark: str


class EventView(msgspec.Struct, kw_only=True):
    """One move of a command."""

    time: str
    state: State
    by: str
    reason: str | None


class CommandDetail(CommandView, kw_only=True):
    """A command with its arguments, its answer and its history."""

    args: dict[str, Any]
    answer: Any
    events: list[EventView]


class CommandPage(msgspec.Struct, kw_only=True):
    items: list[CommandView]
    next: str | None


class CommandQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which commands, the newest first."""

    agent_id: Annotated[str, msgspec.Meta(max_length=36)] | None = None
    kind: wire.Kind | None = None
    state: State | None = None


class WatchQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """With the `mark` that is known, `wait` is the seconds in which news are waited for."""

    mark: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    wait: Patience = 0.0


class Cancelled(msgspec.Struct, kw_only=True):
    """What became of the wish: withdrawn before it was sent, or the agent was told to stop."""

    outcome: Literal["cancelled", "stopping", "settled"]


async def create(call: Call) -> Answer:
    """Signs and queues a command; it is delivered as soon as the agent is there."""
    wish: CommandWish = call.body
    scope = _SCOPES[wish.kind]
    services, now = call.services, call.services.wall()
    if not call.person.may(scope):
        raise Refused("forbidden", f"{wish.kind} needs {scope}")
    if (wish.run is not None) != (wish.kind in ("run", "preview")):
        raise Refused("invalid-body", "run: it belongs to the kinds run and preview, and only there")
    async with services.control.bus.changing() as change:
        row = await _agent(change.connection, call, scope)
        args: dict[str, Any] = {"reason": wish.reason} if wish.reason else {}
        duration = 0.0
        if wish.run is not None:
            grant = (await services.grants.of_agents(change.connection, [row.agent_id], now))[row.agent_id]
            if not grant.covers("remote-run"):
                raise Refused("licence-required", "remote-run: the agent's licence does not grant it")
            args |= run_args(wish.run, run_id=None, agents=1)
            duration = wish.run.max_duration if wish.kind == "run" else 0.0
        elif wish.kind == "stop":
            args["command_id"] = wish.command_id
        errand = Errand(
            kind=wish.kind,
            args=args,
            by=call.person.name,
            role=call.person.role_at(row.department_id, row.project_id),
            alive=wish.expires_in,
            max_duration=duration,
        )
        command_id = await issue(services, change, row, errand, now)
        await call.note(
            change.connection,
            f"command {wish.kind}",
            f"agent {row.agent_id}",
            detail={"command_id": command_id, "reason": wish.reason, "case": args.get("name")},
            department_id=row.department_id,
            project_id=row.project_id,
        )
        found = await _row(change.connection, call, command_id)
        detail = await _detail(change.connection, found)
    return Answer(201, detail)


async def list_commands(call: Call) -> Answer:
    """The commands of the agents within the caller's reach."""
    wanted: CommandQuery = call.query
    query = _selected().where(call.person.reach("commands:read").condition(agent))
    for column in ("agent_id", "kind", "state"):
        value = getattr(wanted, column)
        if value is not None:
            query = query.where(command.c[column] == value)
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, command.c.command_id, wanted, newest_first=True)
    return Answer(200, CommandPage(items=[CommandView(**_common(row)) for row in rows], next=following))


async def show(call: Call) -> Answer:
    """One command; waits for news of it if it is asked to."""
    wanted: WatchQuery = call.query
    services, command_id = call.services, call.path["command_id"]

    async def look() -> CommandDetail:
        async with services.database.reading() as connection:
            return await _detail(connection, await _row(connection, call, command_id))

    return Answer(200, await watched(call, f"k:{command_id}", wanted, look))


async def watched(call: Call, topic: str, wanted: WatchQuery, look: Any) -> Any:
    """What `look` sees, once its `mark` is another than the known one, or when patience ends."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wanted.wait
    with call.services.control.bus.expecting(topic) as news:
        while True:
            news.clear()
            seen = await look()
            left = end - loop.time()
            if wanted.mark != seen.mark or left <= 0 or call.services.closing:
                return seen
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK_AGAIN)):
                    await news.wait()


_LOOK_AGAIN = 2.0
"""Seconds after which one looks again, in case that word was lost."""


async def cancel(call: Call) -> Answer:
    """Withdraws a command: before it is sent for good, after that by telling the agent to stop."""
    now = call.services.wall()
    async with call.services.control.bus.changing() as change:
        row = await _row(change.connection, call, call.path["command_id"], "commands:run")
        outcome = await withdraw(call, change, row, now)
        await call.note(
            change.connection,
            "cancel command",
            f"command {row.command_id}",
            outcome=outcome,
            department_id=row.department_id,
            project_id=row.project_id,
        )
    return Answer(200, Cancelled(outcome=outcome))


async def withdraw(
    call: Call, change: Change, row: Any, now: float
) -> Literal["cancelled", "stopping", "settled"]:
    """Cancels or stops a command (its row, with its agent's)."""
    if row.state in FINAL:
        return "settled"
    change.tell(f"k:{row.command_id}", *([f"r:{row.run_id}"] if row.run_id else []))
    if row.state == "queued" or row.kind != "run":
        await move(change.connection, row.command_id, "cancelled", now=now, by=call.person.name)
        return "cancelled"
    errand = Errand(
        kind="stop",
        args={"command_id": row.command_id},
        by=call.person.name,
        role=call.person.role_at(row.department_id, row.project_id),
        alive=max(USUAL_ALIVE, row.lost_after - now),
    )
    await issue(call.services, change, row, errand, now)
    return "stopping"


async def _agent(connection: AsyncConnection, call: Call, scope: str) -> Any:
    row = (
        await connection.execute(
            select(agent, department.c.number.label("department"), project.c.number.label("project"))
            .outerjoin(department, department.c.id == agent.c.department_id)
            .outerjoin(project, project.c.id == agent.c.project_id)
            .where(agent.c.agent_id == call.path["agent_id"], call.person.reach(scope).condition(agent))
        )
    ).one_or_none()
    if row is None:
        raise Refused("not-found")
    if row.status != "active":
        raise Refused("conflict", f"the agent is {row.status}")
    return row


def _selected() -> Select[Any]:
    return (
        select(
            command,
            agent.c.name.label("agent_name"),
            agent.c.department_id,
            agent.c.project_id,
            department.c.number.label("department"),
            project.c.number.label("project"),
        )
        .join(agent, agent.c.agent_id == command.c.agent_id)
        .outerjoin(department, department.c.id == agent.c.department_id)
        .outerjoin(project, project.c.id == agent.c.project_id)
    )


async def _row(connection: AsyncConnection, call: Call, command_id: str, scope: str = "commands:read") -> Any:
    row = (
        await connection.execute(
            _selected().where(command.c.command_id == command_id, call.person.reach(scope).condition(agent))
        )
    ).one_or_none()
    if row is None:
        raise Refused("not-found")
    return row


async def rows_of_run(connection: AsyncConnection, run_id: str) -> Any:
    """The commands of a group run, with their agents."""
    return (await connection.execute(_selected().where(command.c.run_id == run_id))).all()


async def _detail(connection: AsyncConnection, row: Any) -> CommandDetail:
    events = (
        await connection.execute(
            select(command_event)
            .where(command_event.c.command_id == row.command_id)
            .order_by(command_event.c.id)
        )
    ).all()
    return CommandDetail(
        **_common(row),
        args=json.loads(row.args),
        answer=None if row.answer is None else json.loads(row.answer),
        events=[
            EventView(time=stamp(each.time), state=each.state, by=each.by, reason=each.reason)
            for each in events
        ],
    )


def progress_of(text: str | None) -> ProgressView | None:
    """The kept progress, for people."""
    return None if text is None else msgspec.json.decode(text, type=ProgressView)


def _common(row: Any) -> dict[str, Any]:
    return {
        "command_id": row.command_id,
        "agent_id": row.agent_id,
        "agent_name": row.agent_name,
        "run_id": row.run_id,
        "kind": row.kind,
        "state": row.state,
        "issued": stamp(row.issued),
        "issued_by": row.issued_by,
        "not_before": stamp(row.not_before),
        "not_after": stamp(row.not_after),
        "changed": stamp(row.changed),
        "reason": row.reason,
        "verdict": row.verdict,
        "report_id": row.report_id,
        "progress": progress_of(row.progress),
        "mark": mark_of([row.state, row.changed, row.progress]),
    }


def mark_of(facts: Any) -> str:
    """A short name of this state of things."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


OPERATIONS = (
    Operation(
        name="giveCommand",
        method="POST",
        path="/api/v1/agents/{agent_id}/commands",
        summary="Give an agent a command: run, preview, stop, status, sync, hold, release, diagnose or ping.",
        access=Access.PERSON,
        scope="commands:read",
        rate=Rate.WRITE,
        takes=CommandWish,
        gives={201: CommandDetail},
        problems=("conflict", "busy", "licence-required", "storage-full"),
        handle=create,
    ),
    Operation(
        name="listCommands",
        method="GET",
        path="/api/v1/commands",
        summary="List commands.",
        access=Access.PERSON,
        scope="commands:read",
        rate=Rate.READ,
        query=CommandQuery,
        gives={200: CommandPage},
        handle=list_commands,
    ),
    Operation(
        name="showCommand",
        method="GET",
        path="/api/v1/commands/{command_id}",
        summary="Show one command with its history, or wait for news of it.",
        access=Access.PERSON,
        scope="commands:read",
        rate=Rate.READ,
        query=WatchQuery,
        gives={200: CommandDetail},
        handle=show,
    ),
    Operation(
        name="cancelCommand",
        method="DELETE",
        path="/api/v1/commands/{command_id}",
        summary="Withdraw a command, or stop the run that it started.",
        access=Access.PERSON,
        scope="commands:run",
        rate=Rate.WRITE,
        gives={200: Cancelled},
        problems=("storage-full",),
        handle=cancel,
    ),
)
