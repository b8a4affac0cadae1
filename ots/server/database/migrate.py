"""Brings a database to the present form, from any released one, by alembic; one process at a time."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ots.server.database.database import Database

_LOCK = 0x07_5057
"""The PostgreSQL advisory lock under which one process migrates and the others wait."""


class NewerDatabase(Exception):
    """The database was written by a newer version of OTS."""


async def bring_up_to_date(database: Database) -> None:
    """Migrates without losing a row, or does nothing. Raises NewerDatabase, DatabaseAway, DatabaseFull."""
    async with database.migrating() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(migrate)


def migrate(connection: Connection, form: str = "head") -> None:
    """Brings the database forward to a form of this version, in the caller's transaction. NewerDatabase."""
    config = Config()
    config.set_main_option("script_location", "ots.server:database")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()} | {None, "head"}
    for unknown in {present, form} - known:
        raise NewerDatabase(f"the database has form {unknown}, which this version of OTS does not know")
    command.upgrade(config, form)
