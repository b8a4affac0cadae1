"""Enrolment tokens: what each grants, how often, and until when."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.database.database import Database
from ots.server.database.tables import department, enrolment_token, project
from ots.server.identity import audit
from ots.server.identity.enrolment import TOKEN_PREFIX
from ots.server.identity.secrets import new_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a new token grants: `max_uses` agents within `seconds`, in a department and project by number."""

    department: str | None = None
    project: str | None = None
    tier: str = "friendly"
    max_uses: int = 1
    seconds: float = 7 * 86_400.0
    approval: bool = False
    note: str = ""


async def create_token(database: Database, wish: TokenWish, *, actor: str, now: float) -> str:
    """Makes a token and returns its text, which is nowhere kept."""
    secret = new_secret(TOKEN_PREFIX)
    async with database.writing() as connection:
        department_id = project_id = None
        if wish.department is not None:
            department_id = await department_of(connection, wish.department)
            if wish.project is not None:
                project_id = await project_of(connection, department_id, wish.project)
        await connection.execute(
            insert(enrolment_token).values(
                id=secret.id,
                secret_hash=secret.hash,
                department_id=department_id,
                project_id=project_id,
                tier=wish.tier,
                max_uses=wish.max_uses,
                uses=0,
                approval=wish.approval,
                note=wish.note,
                created=now,
                created_by=actor,
                expires=now + wish.seconds,
            )
        )
        await audit.note(
            connection,
            time=now,
            actor=actor,
            action="create",
            object=f"enrolment token {secret.id}",
            detail={"tier": wish.tier, "max_uses": wish.max_uses},
            department_id=department_id,
            project_id=project_id,
        )
    return secret.text


async def department_of(connection: AsyncConnection, number: str) -> int:
    """The department of this number; made, with its number for a name, if there is none."""
    found = (await connection.execute(select(department.c.id).where(department.c.number == number))).scalar()
    if found is not None:
        return int(found)
    made = await connection.execute(
        insert(department).values(number=number, name=number).returning(department.c.id)
    )
    return int(made.scalar_one())


async def project_of(connection: AsyncConnection, department_id: int, number: str) -> int:
    """The project of this number in the department; made if there is none."""
    found = (
        await connection.execute(
            select(project.c.id).where(project.c.department_id == department_id, project.c.number == number)
        )
    ).scalar()
    if found is not None:
        return int(found)
    made = await connection.execute(
        insert(project)
        .values(department_id=department_id, number=number, name=number)
        .returning(project.c.id)
    )
    return int(made.scalar_one())
