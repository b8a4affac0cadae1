"""The signed content that this machine holds: what a run reads, without a network and without TUF.

content/root.json        the root that is trusted, as it was pinned
content/source.json      where the repository is served
content/metadata/        what python-tuf has verified: the floor below which nothing is taken back
content/current.json     the whole that is in use; replaced when all of the next one is here and verified
content/targets/<sha256> the files that it names
content/attempt.json     how the last attempt went
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from ots.clock import rfc3339
from ots.config.whole_file import write_whole
from ots.content.layout import DAY, MAX_CASE, CaseName

FOLDER = "content"
CURRENT, SOURCE, ROOT = "current.json", "source.json", "root.json"
ATTEMPT, SERVERS = "attempt.json", "servers.json"
_MAX_BYTES = 8 << 20

HEAVY_UNTIL = 30 * DAY
"""Seconds for which heavy cases go on after the content went stale."""


class HeldCase(msgspec.Struct, kw_only=True):
    """One version of a synced case. `heavy`: it loads the link."""

    id: str
    version: int
    sha256: str
    title: str = ""
    heavy: bool = False

    @property
    def name(self) -> CaseName:
        return CaseName(self.id, self.version)


class Held(msgspec.Struct, kw_only=True):
    """One whole of content. Times in seconds since 1970 by this machine's clock.

    `fresh_until` is when the signed promise that nothing newer was known ends; `versions` are those of the
    metadata, by role. `servers` and `licences` are the SHA-256 of their documents, null where there is none;
    `etag` is the timestamp's, as its host names it.
    """

    url: str
    changed_at: float
    checked_at: float
    fresh_until: float
    versions: dict[str, int]
    cases: list[HeldCase] = []
    servers: str | None = None
    licences: str | None = None
    etag: str | None = None

    def stale_since(self, now: float) -> float | None:
        """Since when nobody has vouched for this content; None while somebody does."""
        return self.fresh_until if now >= self.fresh_until else None

    def too_old_for_heavy(self, now: float) -> bool:
        return now >= self.fresh_until + HEAVY_UNTIL

    def case(self, case_id: str, version: int | None = None) -> HeldCase | None:
        """The version that was asked for, else the newest; None where there is no such one."""
        found = [one for one in self.cases if one.id == case_id and version in (None, one.version)]
        return max(found, key=lambda one: one.version, default=None)

    def newest_cases(self) -> dict[str, HeldCase]:
        """The newest version of each case."""
        return {one.id: one for one in sorted(self.cases, key=lambda one: one.version)}


class Source(msgspec.Struct, kw_only=True):
    """Where the content comes from. `ca` is the PEM text of the only authority to trust."""

    url: str
    ca: str | None = None


class Attempt(msgspec.Struct, kw_only=True):
    """How the last synchronisation went; `code` is null if it went well. `at` in seconds since 1970."""

    at: float
    code: str | None = None
    message: str | None = None


class DamagedContent(Exception):
    """A file of the content is not what it should be; the message says which."""


def content_folder(data: Path) -> Path:
    """Where the content lies in a data folder."""
    return data / FOLDER


def content_url(server: str) -> str:
    """Where a server of this address serves its content."""
    return f"{server}/content/"


def servers_file(data: Path) -> Path:
    """The server list that was adopted from signed content."""
    return content_folder(data) / SERVERS


def read_held(data: Path) -> Held | None:
    """The content in use; None where there is none, or the file is damaged: the next sync brings it back."""
    return _read(content_folder(data) / CURRENT, Held)


def read_source(data: Path) -> Source | None:
    """Where the content of this machine comes from; None where nobody said."""
    return _read(content_folder(data) / SOURCE, Source)


def read_attempt(data: Path) -> Attempt | None:
    """How the last attempt went; None if there was none."""
    return _read(content_folder(data) / ATTEMPT, Attempt)


def read_target(data: Path, sha256: str, limit: int = MAX_CASE) -> bytes:
    """The bytes of a held file. Raises DamagedContent where they are gone or others."""
    try:
        with (content_folder(data) / "targets" / sha256).open("rb") as file:
            found = file.read(limit + 1)
    except OSError as error:
        raise DamagedContent(f"the synced file {sha256[:12]}… can't be read: {error.strerror}") from None
    if hashlib.sha256(found).hexdigest() != sha256:
        raise DamagedContent(f"the synced file {sha256[:12]}… was changed on this machine")
    return found


def write_held(data: Path, held: Held) -> None:
    """Puts a whole into use. Raises OSError."""
    _write(data, CURRENT, held)


def pin(data: Path, root: bytes, source: Source) -> None:
    """Trusts this root from now on, and this place. What another root vouched for is forgotten. OSError."""
    folder = content_folder(data)
    try:
        same = (folder / ROOT).read_bytes() == root
    except FileNotFoundError:
        same = False
    if not same:
        forget(data)
        write_whole(folder / ROOT, root)
    _write(data, SOURCE, source)


def forget(data: Path) -> None:
    """Gives up all signed content and the trust in where it came from. OSError."""
    import shutil

    folder = content_folder(data)
    (folder / CURRENT).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def note_attempt(data: Path, attempt: Attempt) -> None:
    """Keeps how an attempt went. OSError."""
    _write(data, ATTEMPT, attempt)


def stale_text(held: Held, now: float) -> str | None:
    """Since when the content is stale, RFC 3339; None while it isn't."""
    since = held.stale_since(now)
    return None if since is None else rfc3339(since)


Kind = TypeVar("Kind", Held, Source, Attempt)


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=kind)
    except (OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _write(data: Path, name: str, kept: Held | Source | Attempt) -> None:
    write_whole(content_folder(data) / name, msgspec.json.format(msgspec.json.encode(kept), indent=2))
