"""A copy of a report without some of its values: named by JSON pointer (RFC 6901), or by the text itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ots.model.report import Report

REMOVED = "[removed]"
_STRUCTURE = frozenset(
    {"schema", "report_id", "run_id", "agent_id", "seq", "revision", "verdict", "outcome", "state", "class"}
    | {"phase", "key", "unit", "type", "stat", "metric", "probe", "sha256", "start", "end", "level"}
)
"""Names of fields that hold the document together: they are no values to remove."""


class CannotRedact(ValueError):
    """What was named is not there, or the document would be none without it."""


def redacted(report: Report, pointers: Sequence[str], texts: Sequence[str]) -> Report:
    """A copy without them: texts become `[removed]`, lists and maps empty, all else null.

    Raises CannotRedact.
    """
    document = msgspec.to_builtins(report)
    for pointer in pointers:
        _remove(document, pointer)
    for text in texts:
        if not _strike(document, text):
            raise CannotRedact(f"no value of the report holds {text[:60]!r}")
    try:
        return msgspec.convert(document, Report)
    except msgspec.ValidationError as error:
        raise CannotRedact(f"the report would be none without it: {error}") from None


def _remove(document: Any, pointer: str) -> None:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    if parts[0] or len(parts) < 2:
        raise CannotRedact(f"{pointer[:60]!r} is no JSON pointer to a value: it begins with /")
    if _STRUCTURE.intersection(parts):
        raise CannotRedact(f"{pointer[:60]!r} is a part of the report's structure")
    place = document
    for part in parts[1:-1]:
        place = place[_key(place, part, pointer)]
    key = _key(place, parts[-1], pointer)
    place[key] = _emptied(place[key])


def _key(place: Any, part: str, pointer: str) -> Any:
    if isinstance(place, dict) and part in place:
        return part
    numbered = isinstance(place, list) and part.isascii() and part.isdigit() and len(part) < 10
    if numbered and int(part) < len(place):
        return int(part)
    raise CannotRedact(f"the report has nothing at {pointer[:60]!r}")


def _emptied(value: Any) -> Any:
    if isinstance(value, str):
        return REMOVED
    return type(value)() if isinstance(value, list | dict) else None


def _strike(document: Any, text: str) -> int:
    """Takes a text out of every value that holds it; returns out of how many."""
    struck = 0
    places = [document]
    while places:
        place = places.pop()
        for key, value in _entries(place):
            if isinstance(value, str):
                if text in value:
                    place[key] = value.replace(text, REMOVED)
                    struck += 1
            elif isinstance(value, list | dict):
                places.append(value)
    return struck


def _entries(place: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(place, list):
        yield from enumerate(list(place))
    else:
        yield from ((key, value) for key, value in list(place.items()) if key not in _STRUCTURE)
