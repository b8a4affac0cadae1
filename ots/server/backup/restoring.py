"""Makes a server from a backup, in an empty place, or leaves that place as empty as it was.

What is not finished lies in a folder `.restoring` inside the server's; as long as that is there, no server
starts from the place.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.backup.archive import BackupError, Manifest, unpack
from ots.server.backup.rows import is_empty, read_rows, write_rows
from ots.server.database.database import open_database
from ots.server.database.migrate import migrate
from ots.server.database.tables import server
from ots.server.first_start import FILE, UNFINISHED, default_database
from ots.server.identity import audit
from ots.server.services import EPOCH


async def restore(archive: Path, folder: Path, url: str | None) -> Manifest:
    """The server of an archive, with its database at `url` or, None, in the folder. Nothing is left of a
    restore that fails. Raises BackupError, NewerDatabase, DatabaseAway, DatabaseFull, OSError.
    """
    with _only_if_whole(folder) as draft:
        manifest = await asyncio.to_thread(unpack, archive, draft)
        content = draft / "database"
        if manifest.database == "sqlite" and url is None:
            os.replace(content / FILE, draft / FILE)
        elif manifest.database == "sqlite":
            await asyncio.to_thread(_as_rows, content / FILE)
        await _fill(url or default_database(draft), manifest, content)
        for path in sorted((draft / "folder").iterdir()) if (draft / "folder").exists() else ():
            os.replace(path, folder / path.name)
        if url is None:
            os.replace(draft / FILE, folder / FILE)
    return manifest


@contextmanager
def _only_if_whole(folder: Path) -> Iterator[Path]:
    """A folder for what is not finished, inside an empty one; whatever fails leaves it empty again."""
    made = not folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty", "Name a folder that is empty, or that is not there yet.")
    draft = folder / UNFINISHED
    draft.mkdir(mode=0o700)
    try:
        yield draft
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if made:
            folder.rmdir()
        raise
    shutil.rmtree(draft)


async def _fill(url: str, manifest: Manifest, content: Path) -> None:
    """Fills the database in one transaction, unless it is a whole file already; notes the restore in it."""
    has_rows = await asyncio.to_thread(lambda: any(content.iterdir()))
    database = open_database(url)
    try:
        async with database.migrating() as connection:
            if has_rows:
                await connection.run_sync(_fill_tables, manifest, content)
            await connection.run_sync(migrate)
            await _note(connection, manifest)
    finally:
        await database.close()


def _fill_tables(connection: Connection, manifest: Manifest, content: Path) -> None:
    if not is_empty(connection):
        raise BackupError("the database is not empty", "Name one without any table.")
    migrate(connection, manifest.form)
    read_rows(connection, content)


async def _note(connection: AsyncConnection, manifest: Manifest) -> None:
    """A new epoch tells agents that this server may lack what an earlier one acknowledged."""
    await connection.execute(delete(server).where(server.c.name == EPOCH))
    await connection.execute(insert(server).values(name=EPOCH, value=str(uuid.uuid4())))
    await audit.note(
        connection,
        time=time.time(),
        actor="command line",
        action="restore",
        object="server",
        detail={"made": manifest.made, "reports": manifest.reports},
    )


def _as_rows(path: Path) -> None:
    """Replaces the copy of SQLite by files of its rows, for a database of another kind."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            write_rows(connection, path.parent)
    finally:
        engine.dispose()
    path.unlink()
