"""What differs between two documents, place by place. Entries of a list are matched by what names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

Kind = Literal["added", "removed", "changed"]
_NAMED_BY = ("key", "labels", "id", "name", "sha256")
_ABSENT = object()


class Edit(msgspec.Struct, kw_only=True):
    """One place that differs, as a JSON pointer (RFC 6901) into the later document, or, of what was removed,
    into the earlier one. `before` is null where it was added, `after` where it was removed.
    """

    path: str
    change: Kind
    before: Any
    after: Any


def edits(before: Any, after: Any, path: str = "", earlier: str | None = None) -> Iterator[Edit]:
    """Every smallest place that differs, in the document's order."""
    earlier = path if earlier is None else earlier
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            step = "/" + name.replace("~", "~0").replace("/", "~1")
            yield from _pair(before.get(name, _ABSENT), after.get(name, _ABSENT), path + step, earlier + step)
    elif isinstance(before, list) and isinstance(after, list):
        for first, second in _matched(before, after):
            yield from _pair(
                _ABSENT if first is None else before[first],
                _ABSENT if second is None else after[second],
                f"{path}/{second}",
                f"{earlier}/{first}",
            )
    elif before != after or type(before) is not type(after):
        yield Edit(path=path, change="changed", before=before, after=after)


def _pair(before: Any, after: Any, path: str, earlier: str) -> Iterator[Edit]:
    if before is _ABSENT:
        yield Edit(path=path, change="added", before=None, after=after)
    elif after is _ABSENT:
        yield Edit(path=earlier, change="removed", before=before, after=None)
    else:
        yield from edits(before, after, path, earlier)


def _matched(before: list[Any], after: list[Any]) -> Iterator[tuple[int | None, int | None]]:
    """Places of the entries that belong together: by name if all have one of their own, else in order."""
    names, others = [_name(each) for each in before], [_name(each) for each in after]
    if None in (*names, *others) or len(set(names)) < len(names) or len(set(others)) < len(others):
        longer = max(len(before), len(after))
        for place in range(longer):
            yield place if place < len(before) else None, place if place < len(after) else None
        return
    where = {name: place for place, name in enumerate(others)}
    for place, name in enumerate(names):
        yield place, where.pop(name, None)
    yield from ((None, place) for place in where.values())


def _name(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    found = {name: entry[name] for name in _NAMED_BY if name in entry}
    return repr(sorted(found.items(), key=lambda item: item[0])) if found else None
