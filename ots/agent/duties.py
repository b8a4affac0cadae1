"""What an agent does for each kind of command but `run` and `stop`: whoever can do one registers it here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ots.remote.control_wire import Command, Kind

Duty = Callable[[Command], Awaitable[Any]]
"""Does what a command asks and returns its answer, which JSON can hold. Raises Declined."""


class Declined(Exception):
    """The command can't be carried out here; `reason` says why, for a machine."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Duties:
    """The duties of one agent by the kind of command."""

    def __init__(self) -> None:
        self._known: dict[Kind, Duty] = {}

    def register(self, kind: Kind, duty: Duty) -> None:
        """From now on this is what the kind means."""
        self._known[kind] = duty

    def get(self, kind: Kind) -> Duty | None:
        return self._known.get(kind)
