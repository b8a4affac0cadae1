"""Accounts of people: made with a one-time password, given roles, disabled. For administrators."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.database.tables import account, api_token, department, project, role_grant, web_session
from ots.server.identity import audit

Role = Literal["viewer", "engineer", "manager", "licence_manager", "auditor", "admin"]
AccountName = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9._@-]+$")]
Number = Annotated[str, msgspec.Meta(max_length=100)]


class RoleGrant(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A role everywhere, in a department, or in one project of it (by their numbers)."""

    role: Role
    department: Number | None = None
    project: Number | None = None


class AccountView(msgspec.Struct, kw_only=True):
    """An account. `number` is the server's own."""

    number: int
    name: str
    disabled: bool
    must_change_password: bool
    created: str
    grants: list[RoleGrant]


class AccountPage(msgspec.Struct, kw_only=True):
    items: list[AccountView]
    next: str | None


class NewAccount(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: AccountName
    grants: Annotated[list[RoleGrant], msgspec.Meta(max_length=100)]


class MadeAccount(AccountView, kw_only=True):
    """The account with its one-time password, which is shown this once."""

    password: str


class AccountChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to change; null: stays. `reset_password` makes a new one-time password."""

    grants: Annotated[list[RoleGrant], msgspec.Meta(max_length=100)] | None = None
    disabled: bool | None = None
    reset_password: bool = False


class ChangedAccount(AccountView, kw_only=True):
    """The account, with a new one-time password where one was asked for."""

    password: str | None


async def list_accounts(call: Call) -> Answer:
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, select(account), account.c.id, call.query)
        items = [await _view(connection, row) for row in rows]
    return Answer(200, AccountPage(items=items, next=following))


async def make_account(call: Call) -> Answer:
    """Makes an account; its one-time password must be changed at the first log-in."""
    wanted: NewAccount = call.body
    password = secrets.token_urlsafe(12)
    hashed = await call.services.passwords.hash(password)
    now = call.services.wall()
    try:
        async with call.services.database.writing() as connection:
            made = await connection.execute(
                insert(account)
                .values(name=wanted.name, password_hash=hashed, must_change=True, created=now)
                .returning(account)
            )
            row = made.one()
            await _set_grants(connection, row.id, wanted.grants)
            await _note(connection, call, "create", row.name, {"grants": _words(wanted.grants)})
            view = await _view(connection, row)
    except IntegrityError:
        raise Refused("conflict", "there is an account of this name") from None
    return Answer(201, MadeAccount(**msgspec.structs.asdict(view), password=password))


async def change_account(call: Call) -> Answer:
    """Changes an account; the last administrator can't be taken away."""
    wanted: AccountChange = call.body
    number = int(call.path["number"])
    password = secrets.token_urlsafe(12) if wanted.reset_password else None
    hashed = None if password is None else await call.services.passwords.hash(password)
    async with call.services.database.writing() as connection:
        row = await _one(connection, number)
        if wanted.grants is not None:
            await _set_grants(connection, number, wanted.grants)
        if wanted.disabled is not None:
            await connection.execute(
                update(account).where(account.c.id == number).values(disabled=wanted.disabled)
            )
        if hashed is not None:
            await connection.execute(
                update(account).where(account.c.id == number).values(password_hash=hashed, must_change=True)
            )
        if wanted.disabled or hashed is not None:
            await connection.execute(delete(web_session).where(web_session.c.account_id == number))
        if wanted.disabled:
            await connection.execute(
                update(api_token)
                .where(api_token.c.account_id == number, api_token.c.revoked.is_(None))
                .values(revoked=call.services.wall())
            )
        await _keep_an_administrator(connection)
        changed = {
            "grants": None if wanted.grants is None else _words(wanted.grants),
            "disabled": wanted.disabled,
            "reset_password": wanted.reset_password,
        }
        await _note(connection, call, "change", row.name, changed)
        view = await _view(connection, await _one(connection, number))
    return Answer(200, ChangedAccount(**msgspec.structs.asdict(view), password=password))


async def _one(connection: AsyncConnection, number: int) -> Any:
    row = (await connection.execute(select(account).where(account.c.id == number))).one_or_none()
    if row is None:
        raise Refused("not-found")
    return row


async def _set_grants(connection: AsyncConnection, account_id: int, grants: list[RoleGrant]) -> None:
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


async def _keep_an_administrator(connection: AsyncConnection) -> None:
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


async def _view(connection: AsyncConnection, row: Any) -> AccountView:
    grants = await connection.execute(
        select(role_grant.c.role, department.c.number, project.c.number.label("project"))
        .outerjoin(department, department.c.id == role_grant.c.department_id)
        .outerjoin(project, project.c.id == role_grant.c.project_id)
        .where(role_grant.c.account_id == row.id)
        .order_by(role_grant.c.id)
    )
    return AccountView(
        number=row.id,
        name=row.name,
        disabled=row.disabled,
        must_change_password=row.must_change,
        created=stamp(row.created),
        grants=[
            RoleGrant(role=grant.role, department=grant.number, project=grant.project) for grant in grants
        ],
    )


def _words(grants: list[RoleGrant]) -> list[str]:
    return ["/".join(filter(None, (grant.role, grant.department, grant.project))) for grant in grants]


async def _note(
    connection: AsyncConnection, call: Call, action: str, name: str, detail: dict[str, Any]
) -> None:
    await audit.note(
        connection,
        time=call.services.wall(),
        actor=call.person.name,
        address=call.address,
        action=action,
        object=f"account {name}",
        detail=detail,
    )


OPERATIONS = (
    Operation(
        name="listAccounts",
        method="GET",
        path="/api/v1/accounts",
        summary="List the accounts of people.",
        access=Access.PERSON,
        scope="accounts:read",
        everywhere=True,
        rate=Rate.READ,
        query=PageQuery,
        gives={200: AccountPage},
        handle=list_accounts,
    ),
    Operation(
        name="makeAccount",
        method="POST",
        path="/api/v1/accounts",
        summary="Make an account; its one-time password is shown once.",
        access=Access.PERSON,
        scope="accounts:write",
        everywhere=True,
        rate=Rate.WRITE,
        takes=NewAccount,
        gives={201: MadeAccount},
        problems=("conflict", "storage-full"),
        handle=make_account,
    ),
    Operation(
        name="changeAccount",
        method="PATCH",
        path="/api/v1/accounts/{number}",
        summary="Change an account's roles, disable it, or reset its password.",
        access=Access.PERSON,
        scope="accounts:write",
        everywhere=True,
        rate=Rate.WRITE,
        takes=AccountChange,
        gives={200: ChangedAccount},
        problems=("conflict", "storage-full"),
        handle=change_account,
    ),
)
