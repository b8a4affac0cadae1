"""Assignments over the interface: people make, change and retire them."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.remote.assignment_wire import Assignment, CaseName
from ots.schema.place import InOptions
from ots.schema.schedule import read_schedule
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import moment, stamp
from ots.server.assignments.group import Selector
from ots.server.assignments.placing import check_agents, place_of
from ots.server.control.hinting import topic
from ots.server.database.assignment_tables import assignment
from ots.server.database.tables import department, project
from ots.strictyaml import Problem

Number = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
_CASE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_LARGEST = 4_096
_MOST = 1_000


class NewAssignment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to run, where and when. `case` is the name of a case that the agents have (shipped or synced),
    with `version` or `sha256` only that one; `schedule` is written as in a case. `max_duration` in seconds.
    """

    name: Name
    case: CaseName
    schedule: dict[str, Any]
    department: Number | None = None
    project: Number | None = None
    selector: Selector = msgspec.field(default_factory=Selector)
    parameters: Annotated[dict[str, Text], msgspec.Meta(max_length=100)] = {}
    thresholds: Annotated[dict[str, list[dict[str, Any]]], msgspec.Meta(max_length=100)] = {}
    max_duration: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 3600.0
    not_after: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class AssignmentChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The new content, for the version that the author saw; a newer one is a conflict."""

    version: Annotated[int, msgspec.Meta(ge=1)]
    content: NewAssignment


class AssignmentView(msgspec.Struct, kw_only=True):
    """An assignment. Times are RFC 3339 UTC; `retired` ones are handed to nobody."""

    assignment_id: str
    name: str
    version: int
    department: str | None
    project: str | None
    selector: Selector
    case: CaseName
    schedule: dict[str, Any]
    parameters: dict[str, str]
    thresholds: dict[str, list[dict[str, Any]]]
    max_duration: float
    not_after: str | None
    created: str
    changed: str
    changed_by: str
    retired: str | None


class AssignmentPage(msgspec.Struct, kw_only=True):
    items: list[AssignmentView]
    next: str | None


async def list_assignments(call: Call) -> Answer:
    """The assignments within the caller's reach."""
    query = selected().where(call.person.reach("assignments:read").condition(assignment))
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, assignment.c.assignment_id, call.query)
    return Answer(200, AssignmentPage(items=[_view(row) for row in rows], next=following))


async def show_assignment(call: Call) -> Answer:
    async with call.services.database.reading() as connection:
        return Answer(200, _view(await within_reach(connection, call, "assignments:read")))


async def make_assignment(call: Call) -> Answer:
    """Makes an assignment; its agents get it the next time they ask."""
    wish: NewAssignment = call.body
    now = call.services.wall()
    document = _document(wish)
    async with call.services.control.bus.changing() as change:
        connection = change.connection
        change.tell(topic("assignments"))
        department_id, project_id = await place_of(connection, call, wish.department, wish.project)
        await check_agents(connection, call, wish.selector, department_id, project_id)
        count = (await connection.execute(select(func.count()).select_from(assignment))).scalar_one()
        if count >= _MOST:
            raise Refused("conflict", f"there are {_MOST} assignments already")
        made = str(uuid.uuid4())
        await connection.execute(
            insert(assignment).values(
                assignment_id=made,
                name=wish.name,
                version=1,
                department_id=department_id,
                project_id=project_id,
                document=document,
                created=now,
                changed=now,
                changed_by=call.person.name,
            )
        )
        row = (await connection.execute(selected().where(assignment.c.assignment_id == made))).one()
        await _note(connection, call, "create", row)
    return Answer(201, _view(row))


async def change_assignment(call: Call) -> Answer:
    """Puts new content in the place of the old: what agents have run so far stays as it was."""
    wish: AssignmentChange = call.body
    document = _document(wish.content)
    async with call.services.control.bus.changing() as change:
        connection = change.connection
        change.tell(topic("assignments"))
        row = await within_reach(connection, call, "assignments:write")
        department_id, project_id = await place_of(
            connection, call, wish.content.department, wish.content.project
        )
        await check_agents(connection, call, wish.content.selector, department_id, project_id)
        done = await connection.execute(
            update(assignment)
            .where(
                assignment.c.assignment_id == row.assignment_id,
                assignment.c.version == wish.version,
                assignment.c.retired.is_(None),
            )
            .values(
                name=wish.content.name,
                version=wish.version + 1,
                department_id=department_id,
                project_id=project_id,
                document=document,
                changed=call.services.wall(),
                changed_by=call.person.name,
            )
        )
        if not done.rowcount:
            raise Refused("conflict", f"version {row.version} is the newest, or it is retired")
        row = await within_reach(connection, call, "assignments:write")
        await _note(connection, call, "change", row)
    return Answer(200, _view(row))


async def retire_assignment(call: Call) -> Answer:
    """Takes an assignment from its agents; what came of it stays."""
    now = call.services.wall()
    async with call.services.control.bus.changing() as change:
        connection = change.connection
        change.tell(topic("assignments"))
        row = await within_reach(connection, call, "assignments:write")
        done = await connection.execute(
            update(assignment)
            .where(assignment.c.assignment_id == row.assignment_id, assignment.c.retired.is_(None))
            .values(retired=now, changed=now, changed_by=call.person.name, version=row.version + 1)
        )
        if done.rowcount:
            await _note(connection, call, "retire", row)
    return Answer(204)


def content_of(row: Any) -> NewAssignment:
    """What people wrote."""
    return msgspec.json.decode(row.document, type=NewAssignment)


def handed_out(row: Any) -> Assignment:
    """The assignment as its agents get it."""
    written = content_of(row)
    return Assignment(
        assignment_id=row.assignment_id,
        version=row.version,
        name=row.name,
        case=written.case,
        schedule=written.schedule,
        parameters=written.parameters,
        thresholds=written.thresholds,
        max_duration=written.max_duration,
        not_after=written.not_after,
    )


def digest_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


async def within_reach(connection: AsyncConnection, call: Call, scope: str) -> Any:
    """The assignment of the path; one beyond the caller's reach is as unknown as one that doesn't exist."""
    row = (
        await connection.execute(
            selected().where(
                assignment.c.assignment_id == call.path["assignment_id"],
                call.person.reach(scope).condition(assignment),
            )
        )
    ).one_or_none()
    if row is None:
        raise Refused("not-found")
    return row


def selected() -> Select[Any]:
    """Assignments with the numbers of their department and project."""
    return (
        select(assignment, department.c.number.label("department"), project.c.number.label("project"))
        .outerjoin(department, department.c.id == assignment.c.department_id)
        .outerjoin(project, project.c.id == assignment.c.project_id)
    )


def _document(wish: NewAssignment) -> str:
    """The content as it is kept. Raises Refused where it makes no sense."""
    if not _CASE_NAME.fullmatch(wish.case.name):
        raise Refused("invalid-body", "case: name a case that the agents have, not a file")
    if wish.not_after is not None:
        moment("not_after", wish.not_after)
    problems: list[Problem] = []
    schedule = read_schedule(wish.schedule, InOptions(_dotted, problems))
    if schedule is None or problems:
        text = "; ".join(f"{problem.source}: {problem.message}" for problem in problems)
        raise Refused("invalid-body", f"schedule: {text[:500]}")
    document = msgspec.json.encode(wish).decode()
    if len(document) > _LARGEST:
        raise Refused("invalid-body", f"an assignment has at most {_LARGEST} bytes")
    return document


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path) or "schedule"


async def _note(connection: AsyncConnection, call: Call, action: str, row: Any) -> None:
    await call.note(
        connection,
        action,
        f"assignment {row.assignment_id}",
        detail={"name": row.name, "version": row.version, "sha256": digest_of(row.document)},
        department_id=row.department_id,
        project_id=row.project_id,
    )


def _view(row: Any) -> AssignmentView:
    written = content_of(row)
    return AssignmentView(
        assignment_id=row.assignment_id,
        name=row.name,
        version=row.version,
        department=row.department,
        project=row.project,
        selector=written.selector,
        case=written.case,
        schedule=written.schedule,
        parameters=written.parameters,
        thresholds=written.thresholds,
        max_duration=written.max_duration,
        not_after=written.not_after,
        created=stamp(row.created),
        changed=stamp(row.changed),
        changed_by=row.changed_by,
        retired=stamp(row.retired),
    )


_OF_PEOPLE: dict[str, Any] = {"access": Access.PERSON}

OPERATIONS = (
    Operation(
        name="listAssignments",
        method="GET",
        path="/api/v1/assignments",
        summary="List assignments.",
        scope="assignments:read",
        rate=Rate.READ,
        query=PageQuery,
        gives={200: AssignmentPage},
        handle=list_assignments,
        **_OF_PEOPLE,
    ),
    Operation(
        name="makeAssignment",
        method="POST",
        path="/api/v1/assignments",
        summary="Assign a case to agents by a schedule.",
        scope="assignments:write",
        rate=Rate.WRITE,
        takes=NewAssignment,
        gives={201: AssignmentView},
        problems=("conflict", "storage-full"),
        handle=make_assignment,
        **_OF_PEOPLE,
    ),
    Operation(
        name="showAssignment",
        method="GET",
        path="/api/v1/assignments/{assignment_id}",
        summary="Show an assignment.",
        scope="assignments:read",
        rate=Rate.READ,
        gives={200: AssignmentView},
        handle=show_assignment,
        **_OF_PEOPLE,
    ),
    Operation(
        name="changeAssignment",
        method="PUT",
        path="/api/v1/assignments/{assignment_id}",
        summary="Put new content in an assignment's place.",
        scope="assignments:write",
        rate=Rate.WRITE,
        takes=AssignmentChange,
        gives={200: AssignmentView},
        problems=("conflict", "storage-full"),
        handle=change_assignment,
        **_OF_PEOPLE,
    ),
    Operation(
        name="retireAssignment",
        method="DELETE",
        path="/api/v1/assignments/{assignment_id}",
        summary="Take an assignment from its agents; what came of it stays.",
        scope="assignments:write",
        rate=Rate.WRITE,
        gives={204: None},
        problems=("storage-full",),
        handle=retire_assignment,
        **_OF_PEOPLE,
    ),
)
