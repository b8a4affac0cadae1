"""Accounts as the command line changes them: whole transactions, each with its entry in the audit trail."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.problems import Refused
from ots.server.database.database import Database
from ots.server.database.tables import account
from ots.server.identity import accounts, audit
from ots.server.identity.passwords import Passwords

ACTOR = "command line"


async def every_account(database: Database) -> list[dict[str, Any]]:
    """Name, state and roles of each account, by name."""
    async with database.reading() as connection:
        rows = (await connection.execute(select(account).order_by(account.c.name))).all()
        return [
            {
                "name": row.name,
                "disabled": row.disabled,
                "must_change_password": row.must_change,
                "roles": accounts.words(await accounts.grants_of(connection, row.id)),
            }
            for row in rows
        ]


async def add_account(
    database: Database, name: str, role: str, *, department: str | None, project: str | None
) -> str:
    """Makes an account; its one-time password. Raises Refused."""
    if not re.fullmatch(accounts.NAME, name) or len(name) > accounts.LONGEST_NAME:
        raise Refused("invalid-body", "a name has 1 to 60 of the characters A-Z a-z 0-9 . _ @ -")
    granted = msgspec.convert({"role": role, "department": department, "project": project}, accounts.Granted)
    password, hashed = await accounts.one_time_password(Passwords())
    try:
        async with database.writing() as connection:
            await accounts.add(connection, name, hashed, [granted], time.time())
            await _note(connection, "create", name, {"grants": accounts.words([granted])})
    except IntegrityError:
        raise Refused("conflict", f"there is an account {name!r} already") from None
    return password


async def reset_password(database: Database, name: str) -> str:
    """A new one-time password for an account. Raises Refused."""
    password, hashed = await accounts.one_time_password(Passwords())
    async with database.writing() as connection:
        await accounts.set_password(connection, await _number(connection, name), hashed)
        await _note(connection, "change", name, {"reset_password": True})
    return password


async def switch(database: Database, name: str, *, disabled: bool) -> None:
    """Shuts an account or opens it. Raises Refused, also for the last administrator."""
    async with database.writing() as connection:
        await accounts.set_disabled(connection, await _number(connection, name), disabled, time.time())
        await accounts.keep_an_administrator(connection)
        await _note(connection, "change", name, {"disabled": disabled})


async def _number(connection: AsyncConnection, name: str) -> int:
    found = (await connection.execute(select(account.c.id).where(account.c.name == name))).scalar()
    if found is None:
        raise Refused("not-found", f"there is no account {name[:60]!r}")
    return int(found)


async def _note(connection: AsyncConnection, action: str, name: str, detail: dict[str, Any]) -> None:
    await audit.note(
        connection, time=time.time(), actor=ACTOR, action=action, object=f"account {name}", detail=detail
    )
