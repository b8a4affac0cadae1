"""Accounts of people: made with a one-time password, given roles, disabled. For administrators."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.database.tables import account
from ots.server.identity import accounts

AccountName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=accounts.LONGEST_NAME, pattern=accounts.NAME)
]
Number = Annotated[str, msgspec.Meta(max_length=100)]


class RoleGrant(accounts.Granted, kw_only=True, forbid_unknown_fields=True):
    """A role everywhere, in a department, or in one project of it (by their numbers)."""

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
    password, hashed = await accounts.one_time_password(call.services.passwords)
    now = call.services.wall()
    try:
        async with call.services.database.writing() as connection:
            row = await accounts.add(connection, wanted.name, hashed, wanted.grants, now)
            await _note(connection, call, "create", row.name, {"grants": accounts.words(wanted.grants)})
            view = await _view(connection, row)
    except IntegrityError:
        raise Refused("conflict", "there is an account of this name") from None
    return Answer(201, MadeAccount(**msgspec.structs.asdict(view), password=password))


async def change_account(call: Call) -> Answer:
    """Changes an account; the last administrator can't be taken away."""
    wanted: AccountChange = call.body
    number = int(call.path["number"])
    password = hashed = None
    if wanted.reset_password:
        password, hashed = await accounts.one_time_password(call.services.passwords)
    async with call.services.database.writing() as connection:
        row = await _one(connection, number)
        if wanted.grants is not None:
            await accounts.set_grants(connection, number, wanted.grants)
        if wanted.disabled is not None:
            await accounts.set_disabled(connection, number, wanted.disabled, call.services.wall())
        if hashed is not None:
            await accounts.set_password(connection, number, hashed)
        await accounts.keep_an_administrator(connection)
        changed = {
            "grants": None if wanted.grants is None else accounts.words(wanted.grants),
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


async def _view(connection: AsyncConnection, row: Any) -> AccountView:
    grants = await accounts.grants_of(connection, row.id)
    return AccountView(
        number=row.id,
        name=row.name,
        disabled=row.disabled,
        must_change_password=row.must_change,
        created=stamp(row.created),
        grants=[RoleGrant(**msgspec.structs.asdict(grant)) for grant in grants],
    )


async def _note(
    connection: AsyncConnection, call: Call, action: str, name: str, detail: dict[str, Any]
) -> None:
    await call.note(
        connection,
        action,
        f"account {name}",
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
