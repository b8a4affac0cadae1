"""The files about licences in the data folder: which there are, and how each is read without trusting it.

licences/*.jws               licences, one a file
licence-revocations/*.jws    the newest revocation list of each issuer, by the id of its key
licence-issuers.json         public keys of those who issue licences, written when the agent enrols
content/licence-issuers.json those that the signed content names
server.json                  what the server said: department, project, and when
licence-memory.json          the time's floor and the serials that were in force, sealed
agent.key                    the agent's key
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ots.i18n import _
from ots.license.document import moment
from ots.license.trusted_time import Memory, unseal

LICENCES = "licences"
SUFFIX = ".jws"
REVOCATIONS = "licence-revocations"
ISSUERS = "licence-issuers.json"
CONTENT_ISSUERS = "content/licence-issuers.json"
ENROLMENT = "server.json"
MEMORY = "licence-memory.json"
AGENT_KEY = "agent.key"

MOST_CHARACTERS = 65_536
"""No licence is longer; nothing beyond is read."""

_MOST_FILES = 64
_TRIES = 5
_MOST_MEMORY = 1_000_000

Warn = Callable[[str], None]


def signed_texts(folder: Path, warn: Warn) -> Mapping[str, str]:
    """What the files of statements in a folder hold, by file name. One that can't be read is warned of.

    One that is too large is cut, which no signature survives.
    """
    for _again in range(_TRIES):
        found = {path.name: read_text(path, warn) for path in _paths(folder, warn)[:_MOST_FILES]}
        if None not in found.values():
            break  # else one was replaced after it was listed, or can't be read
    return {name: text for name, text in found.items() if text is not None}


def any_licence(folder: Path) -> bool:
    """Whether there is anything to read; where that can't be told, reading says why."""
    try:
        return bool(os.listdir(folder / LICENCES))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _paths(folder: Path, warn: Warn) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        warn(_unreadable(folder, error))
        return []
    return [folder / name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]


def read_text(path: Path, warn: Warn, most: int = MOST_CHARACTERS) -> str | None:
    """The text of a small file, at most one character more than is allowed; None, with a warning, if it can't
    be read."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(_unreadable(path, error))
        return None


def enrolled_issuers(folder: Path, warn: Warn) -> list[str]:
    """The public keys that enrolment and the signed content brought. A file that others may change is not
    believed."""
    return [key for name in (ISSUERS, CONTENT_ISSUERS) for key in _issuers(folder / name, warn)]


def _issuers(path: Path, warn: Warn) -> list[str]:
    text = read_text(path, warn)
    if text is None:
        return []
    fault = _open_to_others(path)
    if fault is not None:
        warn(_("{path} is not believed: {reason}").format(path=path, reason=fault))
        return []
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        warn(_("{path} is no list of public keys").format(path=path))
        return []
    return keys


@dataclass(frozen=True, slots=True)
class Place:
    """What a server said of this agent. `heard_at` is when, by this machine's clock in seconds since 1970;
    `offset` is what to add to have the server's."""

    department: str | None = None
    project: str | None = None
    heard_at: float | None = None
    offset: float = 0.0


class _Enrolment(msgspec.Struct):
    """The part of `ots.remote.membership.Membership` that concerns licences."""

    department: str | None = None
    project: str | None = None
    refreshed_at: str | None = None
    clock_offset: float = 0.0

    def place(self) -> Place:
        heard_at = None if self.refreshed_at is None else moment(self.refreshed_at)
        return Place(self.department, self.project, heard_at, self.clock_offset)


def enrolled_place(folder: Path, warn: Warn) -> Place:
    """The agent's place on its server; an empty one where it has none, or the file says nothing of it."""
    path = folder / ENROLMENT
    text = read_text(path, warn, _MOST_MEMORY)
    if text is None:
        return Place()
    try:
        return msgspec.json.decode(text, type=_Enrolment).place()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        warn(_("{path} says nothing about an enrolment").format(path=path))
        return Place()


def memory_key(folder: Path) -> bytes | None:
    """What the memory is sealed with; None before the agent has a key."""
    try:
        return hashlib.sha256(b"ots-licence-memory\0" + (folder / AGENT_KEY).read_bytes()).digest()
    except OSError:
        return None


def read_memory(folder: Path, key: bytes | None) -> Memory:
    """What this installation remembers; nothing where the file is gone or was changed."""
    if key is None:
        return Memory()
    try:
        with (folder / MEMORY).open("rb") as file:
            return unseal(file.read(_MOST_MEMORY), key) or Memory()
    except OSError:
        return Memory()


def _open_to_others(path: Path) -> str | None:
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return _("others may write it (mode {mode})").format(mode=f"{stat.S_IMODE(status.st_mode):04o}")
    if status.st_uid not in (0, os.getuid()):
        return _("it belongs to another user")
    return None


def _unreadable(path: Path, error: OSError) -> str:
    return _("{path} can't be read: {reason}").format(path=path, reason=error.strerror or error)
