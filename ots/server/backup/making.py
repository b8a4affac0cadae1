"""Makes a backup while the server runs: the database as of one moment, then the files of the folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, MetaData, Table, func, select

from ots import __version__
from ots.clock import rfc3339
from ots.server.backup.archive import BackupError, Manifest, pack
from ots.server.backup.rows import write_rows
from ots.server.database.database import Database, explained
from ots.server.first_start import FILE

_SNAPSHOT = f"database/{FILE}"


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive that was made, its SHA-256 and what is in it."""

    place: Path
    sha256: str
    size: int
    manifest: Manifest


def place_of(target: Path, now: float) -> Path:
    """The archive's file: the target itself, or in a folder a name with the time."""
    if not target.is_dir():
        return target
    return target / f"ots-server-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.tar"


async def back_up(database: Database, folder: Path, target: Path) -> Backup:
    """Writes an archive of the database and the server's folder. Raises BackupError, DatabaseAway, OSError.

    What the server acknowledged before this began is in it. Nobody waits for it: SQLite copies what one
    reader sees, PostgreSQL gives one transaction one state of the data.
    """
    place = place_of(target, time.time())
    if place.exists():
        raise BackupError(f"{place} is there already", "Name another file, or a folder.")
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".ots-backup-") as draft:
        drafted = Path(draft)
        (drafted / "database").mkdir()
        if database.dialect == "sqlite":
            await asyncio.to_thread(_copy_sqlite, folder / FILE, drafted / _SNAPSHOT)
            manifest = await asyncio.to_thread(_described_file, drafted / _SNAPSHOT)
        else:
            async with database.one_state() as connection:
                manifest = await connection.run_sync(_described, "rows")
                await connection.run_sync(write_rows, drafted / "database")
        await asyncio.to_thread(_copy_files, folder, drafted / "folder")
        sources = {f"database/{path.name}": path for path in sorted((drafted / "database").iterdir())}
        sources |= _files(drafted / "folder")
        digest = await asyncio.to_thread(pack, place, manifest, sources)
    return Backup(place, digest, place.stat().st_size, manifest)


def _copy_sqlite(source: Path, target: Path) -> None:
    """A copy of all pages in one step: it takes what was committed, and keeps no writer waiting (WAL)."""
    with explained(), closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        try:
            live.backup(copy, pages=-1)
            said = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise BackupError(f"the database can't be copied: {error}") from None
        if said != "ok":
            raise BackupError(f"the database is damaged: {said}", "Look into the disk; keep older backups.")
        # A file alone has to be the whole database.
        copy.execute("PRAGMA journal_mode=DELETE")
    os.chmod(target, 0o600)


def _described_file(path: Path) -> Manifest:
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            return _described(connection, "sqlite")
    finally:
        engine.dispose()


def _described(connection: Connection, kind: str) -> Manifest:
    """Raises BackupError where this is no server's database."""
    there = MetaData()
    there.reflect(connection)
    if not {"server", "report", "alembic_version"} <= there.tables.keys():
        raise BackupError("there is no server in this database", "Start it first: ots server run")
    facts: dict[str, str] = dict(connection.execute(select(there.tables["server"])).tuples().all())
    return Manifest(
        ots=__version__,
        made=rfc3339(time.time()),
        server_id=facts.get("id", ""),
        server_name=facts.get("name", ""),
        form=str(connection.execute(select(there.tables["alembic_version"])).scalar_one()),
        database="sqlite" if kind == "sqlite" else "rows",
        reports=_count(connection, there.tables["report"]),
        files=[],
    )


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _copy_files(folder: Path, target: Path) -> None:
    """Copies what else lies in the server's folder, without drafts, the live database and other backups.

    A copy does not change while it is packed.
    """
    for path in sorted(folder.rglob("*")):
        own = path.relative_to(folder)
        left_out = any(part.startswith(".") for part in own.parts) or path.name.startswith(FILE)
        if left_out or path.is_symlink() or not path.is_file() or path.suffix in (".tar", ".log"):
            continue
        (target / own).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / own)


def _files(copied: Path) -> Mapping[str, Path]:
    return {
        f"folder/{path.relative_to(copied).as_posix()}": path
        for path in sorted(copied.rglob("*"))
        if path.is_file()
    }
