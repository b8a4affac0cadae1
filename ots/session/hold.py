"""The hold: a file in the data folder that keeps this machine's agent from measuring, also after a restart.

One that a person has placed at this machine can be lifted only here: a server has a file of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ots.clock import rfc3339
from ots.config.whole_file import write_whole

By = Literal["local", "remote"]

LOOK_EVERY = 0.25
"""Seconds between two looks of a run that is on its way."""

_MAX_BYTES = 4096
_READABLE = 0o644
"""root places it, and the agent's own user is to read why."""
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Hold:
    """Who stopped everything, why, and since when (RFC 3339, None if the file doesn't tell)."""

    by: By
    reason: str | None = None
    since: str | None = None

    def __str__(self) -> str:
        who = "held at this machine" if self.by == "local" else "held by the server"
        return f"{who}: {self.reason}" if self.reason else who


def place(folder: Path, by: By, reason: str | None, wall: float) -> Hold:
    """Stops every run that an agent starts by itself. Raises OSError if the file can't be written."""
    hold = Hold(by, None if reason is None else reason[:_LONGEST_REASON], rfc3339(wall))
    text = json.dumps({"reason": hold.reason, "since": hold.since}, ensure_ascii=False)
    path = _file(folder, by)
    write_whole(path, text.encode() + b"\n")
    path.chmod(_READABLE)
    return hold


def lift(folder: Path, by: By) -> Hold | None:
    """Lifts what `by` may lift, a person at this machine all of it; returns the hold that stays. OSError."""
    for placed in ("local", "remote") if by == "local" else ("remote",):
        _file(folder, placed).unlink(missing_ok=True)
    return held(folder)


def held(folder: Path) -> Hold | None:
    """The hold in force, None if there is none. A file that can't be read holds as well."""
    return _read(folder, "local") or _read(folder, "remote")


async def tell_when_held(folder: Path, tell: Callable[[], None]) -> None:
    """Looks for a hold until there is one, and tells of it once."""
    while True:
        if held(folder) is not None:
            tell()
            return
        await asyncio.sleep(LOOK_EVERY)


def _file(folder: Path, by: str) -> Path:
    return folder / f"hold.{by}"


def _read(folder: Path, by: By) -> Hold | None:
    path = _file(folder, by)
    if not os.path.lexists(path):
        return None
    found: Any = None
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return Hold(by)
    said = found if isinstance(found, dict) else {}
    reason, since = said.get("reason"), said.get("since")
    return Hold(by, reason if isinstance(reason, str) else None, since if isinstance(since, str) else None)
