"""Where the data of this installation lives: reports, artifacts, the agent's id."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM = Path("/var/lib/ots")
"""The place of a system install; whoever installs the service makes it."""


def user_folder() -> Path:
    """The user's own data folder, as the platform wants it."""
    from platformdirs import user_data_dir

    return Path(user_data_dir("ots", appauthor=False))


def data_folder() -> Path:
    """`OTS_DATA_DIR`, else the system's folder where this user may write to it, else the user's own."""
    named = os.environ.get("OTS_DATA_DIR")
    if named:
        return Path(named).expanduser().absolute()
    if SYSTEM.is_dir() and os.access(SYSTEM, os.W_OK | os.X_OK):
        return SYSTEM
    return user_folder()


def make_private(folder: Path) -> None:
    """Makes the folder, readable by its owner only; one that exists keeps its rights."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
