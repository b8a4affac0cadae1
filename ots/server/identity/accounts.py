"""What can be done with an account, once it is known that the caller may."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.problems import Refused
from ots.server.database.tables import account, api_token, department, project, role_grant, web_session
from ots.server.identity.passwords import Passwords

Role = Literal["viewer", "operator", "engineer", "manager", "licence_manager", "auditor", "admin"]
NAME = r"^[A-Za-z0-9._@-]+$"
LONGEST_NAME = 60


class Granted(msgspec.Struct, kw_only=True):
    """A role everywhere, in a department, or in one project of it (by their numbers)."""

    role: Role
    department: str | None = None
    project: str | None = None


async def one_time_password(passwords: Passwords) -> tuple[str, str]:
    """A new password, to be shown once, and its hash."""
    password = secrets.token_urlsafe(12)
    return password, await passwords.hash(password)


async def add(
    connection: AsyncConnection, name: str, hashed: str, grants: Sequence[Granted], now: float
) -> Any:
    """A new account's row; its password must be changed at the first log-in.

    IntegrityError if there is one of this name. Raises Refused.
    """
    made = await connection.execute(
        insert(account)
        .values(name=name, password_hash=hashed, must_change=True, created=now)
        .returning(account)
    )
    row = made.one()
    await set_grants(connection, row.id, grants)
    return row


async def set_password(connection: AsyncConnection, account_id: int, hashed: str) -> None:
    """Gives a one-time password; whoever is logged in with the old one is so no more."""
    await connection.execute(
        update(account).where(account.c.id == account_id).values(password_hash=hashed, must_change=True)
    )
    await connection.execute(delete(web_session).where(web_session.c.account_id == account_id))


async def set_disabled(connection: AsyncConnection, account_id: int, disabled: bool, now: float) -> None:
    """Shuts an account, with its log-ins and for good with its API tokens, or opens it again."""
    await connection.execute(update(account).where(account.c.id == account_id).values(disabled=disabled))
    if not disabled:
        return
    await connection.execute(delete(web_session).where(web_session.c.account_id == account_id))
    await connection.execute(
        update(api_token)
        .where(api_token.c.account_id == account_id, api_token.c.revoked.is_(None))
        .values(revoked=now)
    )


async def set_grants(connection: AsyncConnection, account_id: int, grants: Sequence[Granted]) -> None:
    """Replaces what an account is granted. Raises Refused for a place that doesn't exist."""
    await connection.execute(delete(role_grant).where(role_grant.c.account_id == account_id))
    for grant in grants:
        department_id = project_id = None
        if grant.project is not None and grant.department is None:
            raise Refused("invalid-body", "a project needs its department")
        if grant.department is not None:
            department_id = (
                await connection.execute(
                    select(department.c.id).where(department.c.number == grant.department)
                )
            ).scalar()
            if department_id is None:
                raise Refused("invalid-body", f"there is no department {grant.department!r}")
        if grant.project is not None:
            project_id = (
                await connection.execute(
                    select(project.c.id).where(
                        project.c.department_id == department_id, project.c.number == grant.project
                    )
                )
            ).scalar()
            if project_id is None:
                raise Refused("invalid-body", f"there is no project {grant.project!r} in this department")
        await connection.execute(
            insert(role_grant).values(
                account_id=account_id,
                role=grant.role,
                department_id=department_id,
                project_id=project_id,
            )
        )


async def grants_of(connection: AsyncConnection, account_id: int) -> list[Granted]:
    """What an account is granted, in the order in which it was."""
    grants = await connection.execute(
        select(role_grant.c.role, department.c.number, project.c.number.label("project"))
        .outerjoin(department, department.c.id == role_grant.c.department_id)
        .outerjoin(project, project.c.id == role_grant.c.project_id)
        .where(role_grant.c.account_id == account_id)
        .order_by(role_grant.c.id)
    )
    return [Granted(role=grant.role, department=grant.number, project=grant.project) for grant in grants]


async def keep_an_administrator(connection: AsyncConnection) -> None:
    """Raises Refused if nobody is left who may do everything everywhere."""
    left = (
        await connection.execute(
            select(func.count())
            .select_from(role_grant.join(account, account.c.id == role_grant.c.account_id))
            .where(
                role_grant.c.role == "admin",
                role_grant.c.department_id.is_(None),
                role_grant.c.project_id.is_(None),
                account.c.disabled.is_(False),
            )
        )
    ).scalar()
    if not left:
        raise Refused("conflict", "somebody must stay administrator")


def words(grants: Sequence[Granted]) -> list[str]:
    """Grants as the audit trail has them: `manager/571/HZ-12`."""
    return ["/".join(filter(None, (grant.role, grant.department, grant.project))) for grant in grants]
