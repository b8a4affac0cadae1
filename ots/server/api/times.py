"""Times between the database (seconds since 1970) and the interface (RFC 3339 in UTC)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from ots.server.api.problems import Refused


@overload
def stamp(seconds: float) -> str: ...
@overload
def stamp(seconds: None) -> None: ...
def stamp(seconds: float | None) -> str | None:
    """A time as people and programs read it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(name: str, text: str) -> float:
    """The time that a request writes; without a zone it is UTC. Raises Refused."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Refused("invalid-request", f"{name}: write a time as 2026-03-01T08:00:00Z") from None
