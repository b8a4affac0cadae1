"""Where an installation keeps what it is told and what it finds."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_SETTINGS = Path("/etc/ots/settings.yaml")
SYSTEM_DATA = Path("/var/lib/ots")
"""The data folder of a system install; whoever installs the service makes it."""


def user_data_dir() -> Path:
    """The user's own data folder, as the platform wants it."""
    import platformdirs

    return Path(platformdirs.user_data_dir("ots", appauthor=False))


def user_settings() -> Path:
    """The user's own settings file; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_config_dir("ots", appauthor=False)) / "settings.yaml"


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


def secret_folders() -> list[Path]:
    """Where secrets lie, one file each; the user's own come first."""
    return [user_settings().parent / "secrets", SYSTEM_SETTINGS.parent / "secrets"]
