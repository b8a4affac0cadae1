"""What the settings files and the environment say, value by value, before anybody checks it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ots.config.place import settings_files

ENVIRONMENT: Mapping[str, str] = {
    "OTS_DATA_DIR": "data_dir",
    "OTS_LANG": "language",
    "OTS_INTERFACE": "interface",
    "OTS_JOB_ID": "job.id",
    "OTS_JOB_CUSTOMER": "job.customer",
    "OTS_JOB_SITE": "job.site",
    "OTS_JOB_ENGINEER": "job.engineer",
    "OTS_JOB_PURPOSE": "job.purpose",
    "OTS_JOB_PLAN": "job.plan",
    "OTS_RETENTION_MAX_SIZE": "retention.max_size",
    "OTS_RETENTION_MAX_AGE": "retention.max_age",
    "OTS_UPLOAD_MODE": "upload.mode",
}
"""Which variable of the environment sets which setting."""

SECTIONS = frozenset({"job", "retention", "license", "upload", "budget", "features", "vars"})
_MAX_BYTES = 256 * 1024


class SettingsError(Exception):
    """The settings can't be used; the message names every fault with its place."""

    def __init__(
        self, message: str, remedy: str = "`ots config path` shows the files that are read."
    ) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Stated:
    """A value and where it was stated: `/etc/ots/settings.yaml:4:9`, `environment OTS_LANG`."""

    value: Any
    origin: str


def gather(only: str | None = None) -> dict[str, Stated]:
    """Every stated value by dotted name; later files win over earlier ones, the environment over all.

    `only` asks for one name: if the environment sets it, no file is read.
    """
    stated: dict[str, Stated] = {}
    for variable, name in ENVIRONMENT.items():
        value = os.environ.get(variable)
        if value:
            stated[name] = Stated(value, f"environment {variable}")
    if only in stated:
        return stated
    from_files: dict[str, Stated] = {}
    for path in settings_files():
        from_files.update(read_file(path))
    return from_files | stated


def read_file(path: Path) -> dict[str, Stated]:
    """The values of one settings file; of none if it doesn't exist, unless OTS_CONFIG names it."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        if os.environ.get("OTS_CONFIG") == str(path):
            raise SettingsError(f"{path}: OTS_CONFIG names this file, and it does not exist.") from None
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: the settings can't be read: {error.strerror}.") from None
    return parse(content, str(path))


def parse(content: bytes, source: str) -> dict[str, Stated]:
    """The values of a settings file's text."""
    from ots.strictyaml import YamlError, compose, resolve
    from ots.strictyaml.node import Mapping as Branch
    from ots.strictyaml.problem import Problem

    if all(not line.strip() or line.lstrip().startswith(b"#") for line in content.splitlines()):
        return {}
    problems: list[Problem] = []
    try:
        tree = compose(content, source)
        if not isinstance(tree, Branch):
            raise YamlError([Problem(source, tree.mark.line, tree.mark.column, "settings are `name: value`")])
        data = resolve(tree, problems, source)
        if problems:
            raise YamlError(problems)
    except YamlError as error:
        raise SettingsError(str(error)) from None
    return {name: Stated(value, _place(tree, name, source)) for name, value in _flat(data)}


def _place(tree: Any, name: str, source: str) -> str:
    from ots.strictyaml import locate

    mark = locate(tree, name.split(".", 1))
    return f"{source}:{mark.line}:{mark.column}"


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Sections are opened, so that a later file overrides one value of a section and not all of it."""
    for name, value in data.items():
        if name in SECTIONS and value is None:
            continue
        if name in SECTIONS and isinstance(value, Mapping):
            for part, inner in value.items():
                yield f"{name}.{part}", inner
        else:
            yield name, value
