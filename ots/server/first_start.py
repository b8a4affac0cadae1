"""What a server needs before it can serve: an up-to-date database, a name, and somebody who may log in."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, insert, select

from ots.server.database.database import Database, sqlite_url
from ots.server.database.migrate import bring_up_to_date
from ots.server.database.tables import account, role_grant, server
from ots.server.identity import audit
from ots.server.identity.passwords import Passwords

FILE = "server.sqlite3"
ADMINISTRATOR = "admin"


UNFINISHED = ".restoring"
"""A folder of this name in a server's folder: it is being restored, or that was cut off."""


class UnfinishedRestore(Exception):
    """The folder holds half of a server."""


@dataclass(frozen=True, slots=True)
class FirstAccount:
    """The first administrator; the password is shown once and must be changed at the first log-in."""

    name: str
    password: str


def default_database(folder: Path) -> str:
    """SQLite in the server's data folder."""
    return sqlite_url(folder / FILE)


def check_whole(folder: Path) -> None:
    """Raises UnfinishedRestore."""
    if (folder / UNFINISHED).exists():
        raise UnfinishedRestore(
            f"a restore into {folder} was not finished: empty the folder and its database, and restore again"
        )


async def prepare(database: Database, name: str, now: float) -> FirstAccount | None:
    """Migrates, names the server, and makes the first administrator if there is no account.

    Several processes may do this at once. Raises DatabaseAway, DatabaseFull, NewerDatabase.
    """
    await bring_up_to_date(database)
    password = secrets.token_urlsafe(12)
    hashed = await Passwords().hash(password)
    async with database.writing() as connection:
        if (await connection.execute(select(server.c.value).where(server.c.name == "id"))).scalar() is None:
            await connection.execute(
                insert(server), [{"name": "id", "value": str(uuid.uuid4())}, {"name": "name", "value": name}]
            )
        if (await connection.execute(select(func.count()).select_from(account))).scalar():
            return None
        made = await connection.execute(
            insert(account)
            .values(name=ADMINISTRATOR, password_hash=hashed, must_change=True, created=now)
            .returning(account.c.id)
        )
        await connection.execute(insert(role_grant).values(account_id=made.scalar_one(), role="admin"))
        await audit.note(
            connection, time=now, actor="server", action="create", object=f"account {ADMINISTRATOR}"
        )
    return FirstAccount(ADMINISTRATOR, password)
