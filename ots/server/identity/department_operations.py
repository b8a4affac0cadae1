"""Departments and their projects: what agents, reports and grants belong to."""

from __future__ import annotations

from typing import Annotated

import msgspec
from sqlalchemy import and_, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.database.tables import department, project

Number = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ProjectView(msgspec.Struct, kw_only=True):
    number: str
    name: str


class DepartmentView(msgspec.Struct, kw_only=True):
    """A department and those of its projects that the caller may see."""

    number: str
    name: str
    projects: list[ProjectView]


class DepartmentPage(msgspec.Struct, kw_only=True):
    items: list[DepartmentView]
    next: str | None


class Place(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A department, or a project of it; one that exists gets the new name."""

    department: Number
    project: Number | None = None
    name: Name


async def list_departments(call: Call) -> Answer:
    """Departments within the caller's reach, with their projects."""
    reach = call.person.reach("projects:read")
    whole = [grant.department_id for grant in reach.grants if grant.project_id is None]
    projects = reach.over(project.c.department_id, project.c.id)
    seen = select(project.c.department_id).where(projects)
    query = select(department).where(
        true() if reach.everywhere else or_(department.c.id.in_(whole), department.c.id.in_(seen))
    )
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, department.c.id, call.query)
        within = await connection.execute(
            select(project)
            .where(and_(projects, project.c.department_id.in_([row.id for row in rows])))
            .order_by(project.c.number)
        )
        below: dict[int, list[ProjectView]] = {}
        for row in within:
            below.setdefault(row.department_id, []).append(ProjectView(number=row.number, name=row.name))
    items = [DepartmentView(number=row.number, name=row.name, projects=below.get(row.id, [])) for row in rows]
    return Answer(200, DepartmentPage(items=items, next=following))


async def put_place(call: Call) -> Answer:
    """Makes a department or a project, or names one anew."""
    place: Place = call.body
    async with call.services.database.writing() as connection:
        found = (
            await connection.execute(select(department.c.id).where(department.c.number == place.department))
        ).scalar()
        try:
            if place.project is None:
                if found is None:
                    await connection.execute(
                        insert(department).values(number=place.department, name=place.name)
                    )
                else:
                    await connection.execute(
                        update(department).where(department.c.id == found).values(name=place.name)
                    )
            else:
                if found is None:
                    raise Refused("not-found", "make the department first")
                mine = project.c.department_id == found, project.c.number == place.project
                done = await connection.execute(update(project).where(*mine).values(name=place.name))
                if not done.rowcount:
                    await connection.execute(
                        insert(project).values(department_id=found, number=place.project, name=place.name)
                    )
        except IntegrityError:
            raise Refused("conflict", "somebody else makes it just now") from None
        await call.note(
            connection,
            "name",
            f"department {place.department}" + (f" project {place.project}" if place.project else ""),
            detail={"name": place.name},
        )
    return Answer(204)


OPERATIONS = (
    Operation(
        name="listDepartments",
        method="GET",
        path="/api/v1/departments",
        summary="List departments and their projects.",
        access=Access.PERSON,
        scope="projects:read",
        rate=Rate.READ,
        query=PageQuery,
        gives={200: DepartmentPage},
        handle=list_departments,
    ),
    Operation(
        name="putPlace",
        method="PUT",
        path="/api/v1/departments",
        summary="Make a department or a project, or name one anew.",
        access=Access.PERSON,
        scope="projects:write",
        everywhere=True,
        rate=Rate.WRITE,
        takes=Place,
        gives={204: None},
        problems=("conflict", "storage-full"),
        handle=put_place,
    ),
)
