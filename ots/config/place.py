"""Where an installation keeps what it is told and what it finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SYSTEM_SETTINGS = Path("/etc/ots/settings.yaml")
SYSTEM_DATA = Path("/var/lib/ots")
"""The data folder of a system install; whoever installs the service makes it."""


def user_data_dir() -> Path:
    """The user's own data folder, as the platform wants it."""
    return _user_folder("XDG_DATA_HOME", "~/.local/share", "user_data_dir")


def user_settings() -> Path:
    """The user's own settings file; it need not exist."""
    return _user_folder("XDG_CONFIG_HOME", "~/.config", "user_config_dir") / "settings.yaml"


def default_data_dir() -> Path:
    """The system's data folder if this user may write there, else the user's own."""
    if SYSTEM_DATA.is_dir() and os.access(SYSTEM_DATA, os.W_OK | os.X_OK):
        return SYSTEM_DATA
    return user_data_dir()


def settings_files() -> list[Path]:
    """The files that are read, the weakest first; all but the one in OTS_CONFIG may be missing."""
    files = [SYSTEM_SETTINGS, user_settings()]
    named = os.environ.get("OTS_CONFIG")
    return [*files, Path(named).expanduser()] if named else files


def case_folders() -> list[Path]:
    """Where cases lie that can be run by name; the user's own come first."""
    return [user_settings().parent / "cases", SYSTEM_SETTINGS.parent / "cases"]


def target_files() -> list[Path]:
    """Where the target lists stand, the weakest first; neither file need exist."""
    return [SYSTEM_SETTINGS.parent / "targets.yaml", user_settings().parent / "targets.yaml"]


def secret_folders() -> list[Path]:
    """Where secrets lie, one file each; the user's own come first."""
    return [user_settings().parent / "secrets", SYSTEM_SETTINGS.parent / "secrets"]


def _user_folder(variable: str, usual: str, elsewhere: str) -> Path:
    """A folder of the XDG base directory specification; other systems than Linux have folders of their own.

    On Linux the two lines here spare every command the import of a library that would do the same.
    """
    if sys.platform == "linux":
        return Path(os.environ.get(variable, "").strip() or usual).expanduser() / "ots"
    import platformdirs

    return Path(getattr(platformdirs, elsewhere)("ots", appauthor=False))
