"""What an agent leaves in its data folder so that others can tell whether it runs, and what it does."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from ots.config.whole_file import write_whole
from ots.schedule.state import State
from ots.store.liveness import FileLock

log = logging.getLogger("ots.agent")

FOLDER = "agent"
_LOCK, _STATUS, _STATE = "agent.lock", "status.json", "schedules.json"
_MOST = 8 << 20


class AlreadyRunning(Exception):
    """Another agent has this data folder; `pid` is its process, if it says."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        super().__init__(f"an agent runs already for {folder}" + ("" if pid is None else f" (process {pid})"))
        self.pid = pid


class Presence:
    """The one agent of a data folder, from its making to `leave`. Raises AlreadyRunning, OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock.take(self._folder / _LOCK)
        if lock is None:
            found = read_status(folder)
            raise AlreadyRunning(folder, None if found is None else found.get("pid"))
        self._lock = lock

    def leave(self) -> None:
        (self._folder / _STATUS).unlink(missing_ok=True)
        self._lock.release()

    def say(self, **facts: Any) -> None:
        """Writes down how it stands. That it can't is no reason to stop measuring."""
        try:
            write_whole(self._folder / _STATUS, json.dumps({"pid": os.getpid(), **facts}).encode())
        except OSError as error:
            log.warning("What the agent does can't be written down: %s", error.strerror)

    def keep(self, state: State) -> None:
        """Writes down how far the schedules are settled."""
        try:
            write_whole(self._folder / _STATE, msgspec.json.encode(state))
        except OSError as error:
            log.error("How far the schedules are can't be written down: %s", error.strerror)


def read_state(folder: Path) -> State:
    """How far the schedules were settled; from now on where nobody knows."""
    place = folder / FOLDER / _STATE
    try:
        with place.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST), type=State)
    except FileNotFoundError:
        return State()
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        log.warning("%s can't be read, schedules go on from now: %s", place, error)
        return State()


def read_status(folder: Path) -> dict[str, Any] | None:
    """What the agent of a folder last said of itself; None where none runs."""
    place = folder / FOLDER
    if not (place / _LOCK).exists():
        return None
    try:
        lock = FileLock.take(place / _LOCK)
    except OSError:
        return None
    if lock is not None:
        lock.release()
        return None
    try:
        found = json.loads((place / _STATUS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {"pid": None}
    return found if isinstance(found, dict) else {"pid": None}
