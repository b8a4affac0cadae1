"""The files about licences in the data folder: which there are, and how each is read without trusting it.

licences/*.jws               licences, one a file
licence-revocations.jws      the newest revocation list
licence-issuers.json         public keys of those who issue licences, written when the agent enrols
licence-memory.json          the time's floor and the serials that were in force, sealed
agent-key.pem                the agent's key
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from ots.i18n import _
from ots.license.trusted_time import Memory, unseal

LICENCES = "licences"
SUFFIX = ".jws"
REVOCATIONS = "licence-revocations.jws"
ISSUERS = "licence-issuers.json"
ENROLMENT = "enrolment.json"
MEMORY = "licence-memory.json"
AGENT_KEY = "agent-key.pem"

MOST_CHARACTERS = 65_536
"""No licence is longer; nothing beyond is read."""

_MOST_FILES = 64
_TRIES = 5
_MOST_MEMORY = 1_000_000

Warn = Callable[[str], None]


def licence_texts(folder: Path, warn: Warn) -> Mapping[str, str]:
    """What the licence files hold, by file name. A file that can't be read is warned of and left out.

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
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _paths(folder: Path, warn: Warn) -> list[Path]:
    place = folder / LICENCES
    try:
        names = sorted(os.listdir(place))
    except FileNotFoundError:
        return []
    except OSError as error:
        warn(_unreadable(place, error))
        return []
    return [place / name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]


def read_text(path: Path, warn: Warn, most: int = MOST_CHARACTERS) -> str | None:
    """The text of a small file, at most one character more than is allowed; None, with a warning, if it can't
    be read."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(_unreadable(path, error))
        return None


def enrolled_issuers(folder: Path, warn: Warn) -> list[str]:
    """The public keys that were written at enrolment. A file that others may change is not believed."""
    path = folder / ISSUERS
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


def enrolled_names(folder: Path, warn: Warn) -> tuple[str | None, str | None]:
    """Department and project for which the agent was enrolled; None where it wasn't."""
    text = read_text(folder / ENROLMENT, warn)
    try:
        stated = {} if text is None else json.loads(text)
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict):
        warn(_("{path} says nothing about an enrolment").format(path=folder / ENROLMENT))
        return None, None
    names = [stated.get(name) for name in ("department", "project")]
    department, project = (name if isinstance(name, str) else None for name in names)
    return department, project


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
