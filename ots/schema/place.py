"""Where a problem is shown: at its line and column in a file, or by the option that held the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ots.strictyaml import Mark, Node, Problem, locate

Path = tuple[str | int, ...]


class Place(Protocol):
    """One value as written, whose parts are named by paths."""

    def problem(self, path: Path, message: str, *, key: bool = False) -> None:
        """Notes a problem with the part at `path`; with `key`, with the name that stands there."""
        ...


class InFile:
    """A node of a file. Problems at a mark in `settled` are dropped: that place is already reported."""

    def __init__(self, source: str, node: Node, problems: list[Problem], settled: frozenset[Mark]) -> None:
        self._source = source
        self._node = node
        self._problems = problems
        self._settled = settled

    def problem(self, path: Path, message: str, *, key: bool = False) -> None:
        mark = locate(self._node, path, key=key)
        if mark not in self._settled:
            self._problems.append(Problem(self._source, mark.line, mark.column, message))


class InOptions:
    """The command line: `name` says which option or argument a path came from."""

    def __init__(self, name: Callable[[Path], str], problems: list[Problem]) -> None:
        self._name = name
        self._problems = problems

    def problem(self, path: Path, message: str, *, key: bool = False) -> None:
        self._problems.append(Problem(self._name(path), 0, 0, message))


class Within:
    """A part of another place."""

    def __init__(self, outer: Place, path: Sequence[str | int]) -> None:
        self._outer = outer
        self._path = tuple(path)

    def problem(self, path: Path, message: str, *, key: bool = False) -> None:
        self._outer.problem((*self._path, *path), message, key=key)
