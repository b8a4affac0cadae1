"""Does this installation belong to a server, and is a report for it? Asked by every run, so it is light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ots.config import Settings
    from ots.store.writer import Queue

FILE = "server.json"


def is_member(folder: Path) -> bool:
    """Whether this agent belongs to a server; says yes as well where the file is damaged."""
    return (folder / FILE).exists()


def upload_mode(settings: Settings) -> Literal["auto", "manual", "off"]:
    """`upload.mode`, or off where the function `upload` is switched off."""
    return settings.upload.mode if settings.features.get("upload", True) else "off"


def queue_of_run(settings: Settings, *, asked: bool | None, by_hand: bool = True) -> Queue:
    """Whether the report of a run is to be sent: as it was asked for, else as the settings say."""
    mode = upload_mode(settings)
    if not is_member(settings.data_dir) or mode == "off":
        return "no"
    wanted = mode == "auto" if asked is None else asked
    return ("by-hand" if by_hand else "schedule") if wanted else "no"
