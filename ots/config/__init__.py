"""The settings of this installation: files, then the environment, then options; each value knows its origin.

    settings().job.customer
    settings().origin("job.customer")       # "/etc/ots/settings.yaml:4"

Whoever needs only the data folder asks `data_dir()`: that reads no YAML unless a settings file exists, and
never loads pydantic.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ots.config.layers import SettingsError, gather
from ots.config.place import default_data_dir

if TYPE_CHECKING:
    from pathlib import Path

    from ots.config.values import Settings

__all__ = ["Settings", "SettingsError", "data_dir", "default_data_dir", "settings"]


@cache
def settings() -> Settings:
    """The settings in force. Raises SettingsError with every fault of the files and of the environment."""
    from ots.config.values import load

    return load()


def data_dir() -> Path:
    """Where reports are kept: `data_dir` of the settings, or the default place."""
    from pathlib import Path

    stated = gather(only="data_dir").get("data_dir")
    if stated is None or not isinstance(stated.value, str):
        return default_data_dir()
    return Path(stated.value).expanduser().absolute()


def stated_language() -> str | None:
    """The language that the settings ask for, if they do; a broken settings file says nothing here."""
    try:
        stated = gather(only="language").get("language")
    except SettingsError:
        return None
    return stated.value if stated is not None and isinstance(stated.value, str) else None


def __getattr__(name: str) -> Any:
    """Lets `from ots.config import Settings` load pydantic only where that is written."""
    if name == "Settings":
        from ots.config.values import Settings

        return Settings
    raise AttributeError(name)
