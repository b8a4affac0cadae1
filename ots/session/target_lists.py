"""The target lists of this machine: the user's file over the system's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from ots.config.place import target_files
from ots.schema.errors import CaseError, Problem
from ots.schema.target_list import TargetList, read_lists
from ots.strictyaml import YamlError

_MAX_BYTES = 1_000_000


class OwnLists(Mapping[str, TargetList]):
    """The lists by name. The files are read when the first list is asked for: most runs name none.

    A file that can't be used raises CaseError with each of its problems at its place.
    """

    @cached_property
    def _lists(self) -> dict[str, TargetList]:
        return {name: entry for path in target_files() for name, entry in read_file(path).items()}

    def __getitem__(self, name: str) -> TargetList:
        return self._lists[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)


def read_file(path: Path) -> dict[str, TargetList]:
    """The lists of one file, none if there is no file; CaseError with every problem."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"the target lists can't be read: {error.strerror or error}"
        raise CaseError([Problem(str(path), 0, 0, message)]) from None
    try:
        return read_lists(content, str(path))
    except YamlError as error:
        raise CaseError(error.problems) from None
