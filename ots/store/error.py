"""How the store says that it can't: one sentence for the reader, and what to do about it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StoreError(Exception):
    """The store can't do what was asked; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Damaged(StoreError):
    """The database file is not one any more."""


class DamagedReport(StoreError):
    """One report is not what was stored any more; the store itself works."""


_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"})
_CLOSED = frozenset({"SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"})
_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"})


def explain(error: sqlite3.Error | OSError, place: Path) -> StoreError:
    """What a failure of SQLite or of the file system means to the person at the keyboard."""
    if isinstance(error, OSError):
        return _explain_os(error, place)
    name = getattr(error, "sqlite_errorname", "") or ""
    family = "_".join(name.split("_")[:2])
    if family in _DAMAGED:
        return Damaged(
            f"The report store {place} is damaged: {error}.",
            "Run the command again: the damaged file is then moved aside, what can be read of it is saved "
            "into a new one, and nothing is deleted.",
        )
    if name in _FULL or family in _FULL:
        return _no_space(place)
    if family in _CLOSED:
        return StoreError(
            f"The report store {place} can't be written: {error}.",
            "Give yourself the right to write there, or set OTS_DATA_DIR to a folder of your own.",
        )
    if family in _BUSY:
        return StoreError(
            f"The report store {place} stayed locked by another process.",
            "Try again; if it stays so, look for an OTS process that hangs.",
        )
    return StoreError(
        f"The report store {place} failed: {error} ({name or type(error).__name__}).",
        "Run `ots doctor`; OTS_DATA_DIR can name another folder meanwhile.",
    )


def _no_space(place: Path) -> StoreError:
    return StoreError(
        f"No space left for the report store {place}.",
        "Free some space, delete old reports with `ots report delete`, or set OTS_DATA_DIR to another.",
    )


def _explain_os(error: OSError, place: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _no_space(place)
    return StoreError(
        f"The report store {place} can't be used: {error.strerror or error}.",
        "Give yourself the right to write there, or set OTS_DATA_DIR to a folder of your own.",
    )


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turns what SQLite and the file system raise into a `StoreError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(error, place) from error
