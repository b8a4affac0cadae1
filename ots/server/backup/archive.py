"""The archive of a backup: an uncompressed tar with a manifest first, which names every file and its hash.

    manifest.json           Manifest
    database/…              the database
    folder/…                what else lay in the server's folder, its keys among it

Nothing in it is taken that the manifest does not name, and nothing that differs from it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
_MAX_MANIFEST = 16 << 20
_CHUNK = 1 << 20
_NAME = re.compile(r"(database|folder)(/[A-Za-z0-9_][A-Za-z0-9._-]{0,199}){1,8}", re.ASCII)


class BackupError(Exception):
    """A backup that can't be made or used; `remedy` says what would help, if anything does."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, kw_only=True):
    """What an archive holds. `database` says how: SQLite's own file, or rows of each table as JSON lines.

    `form` is the revision of the database's form; `made` is RFC 3339 UTC.
    """

    format: int = FORMAT
    ots: str
    made: str
    server_id: str
    server_name: str
    form: str
    database: Literal["sqlite", "rows"]
    reports: int
    files: list[File]


def pack(place: Path, manifest: Manifest, sources: Mapping[str, Path]) -> str:
    """Writes an archive of these files, by their names in it; its SHA-256. The manifest's list is made here.

    The file is its owner's alone, and is there whole or not at all. Raises BackupError, OSError.
    """
    manifest.files = [_described(name, path) for name, path in sources.items()]
    descriptor, draft = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}-")
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
                tar.addfile(_header(MANIFEST, len(text)), io.BytesIO(text))
                for entry in manifest.files:
                    with sources[entry.name].open("rb") as source:
                        tar.addfile(_header(entry.name, entry.size), source)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = _digest(file)
        try:
            os.link(draft, place)
        except FileExistsError:
            raise BackupError(f"{place} is there already") from None
        _sync_folder(place.parent)
    finally:
        Path(draft).unlink(missing_ok=True)
    return digest


def unpack(place: Path, folder: Path) -> Manifest:
    """Writes the files of an archive below a folder of the caller's own, each held against the manifest.

    Raises BackupError where anything is missing, changed, or not named; OSError.
    """
    with place.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                return _unpacked(place, tar, folder)
        except tarfile.TarError as error:
            raise BackupError(f"{place} is no whole archive of a backup: {error}") from None


def _unpacked(place: Path, tar: tarfile.TarFile, folder: Path) -> Manifest:
    first = tar.next()
    source = None if first is None or first.name != MANIFEST else tar.extractfile(first)
    if first is None or source is None or first.size > _MAX_MANIFEST:
        raise BackupError(f"{place} is no backup of an OTS server")
    manifest = _read(place, source.read())
    expected = {entry.name: entry for entry in manifest.files}
    while (member := tar.next()) is not None:
        entry = expected.pop(member.name, None)
        content = tar.extractfile(member) if member.isreg() else None
        if entry is None or content is None or member.size != entry.size:
            raise BackupError(f"{place} holds {member.name[:200]!r}, which its manifest does not name so")
        _take(place, entry, content, folder / entry.name)
    if expected:
        raise BackupError(f"{place} lacks {min(expected)!r}: it was cut off")
    return manifest


def _read(place: Path, text: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BackupError(f"the manifest of {place} can't be read: {error}") from None
    if manifest.format > FORMAT:
        raise BackupError(f"{place} has format {manifest.format}; this OTS reads {FORMAT}", "Update OTS.")
    names = [entry.name for entry in manifest.files]
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong or len(set(names)) != len(names):
        raise BackupError(f"the manifest of {place} names {(wrong or names)[0][:200]!r} wrongly")
    if not any(name.startswith("database/") for name in names):
        raise BackupError(f"{place} holds no database")
    return manifest


def _take(place: Path, entry: File, content: IO[bytes], target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise BackupError(f"{entry.name} in {place} is not what its manifest says: it was changed")


def _described(name: str, path: Path) -> File:
    if not _NAME.fullmatch(name):
        raise BackupError(
            f"a file with the name {name!r} can't be part of a backup", "Rename it, or move it."
        )
    with path.open("rb") as file:
        digest = _digest(file)
        return File(name=name, size=file.tell(), sha256=digest)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o600
    return header


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be synchronised
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
