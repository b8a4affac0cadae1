"""Lists in pages: each page says where the next begins, and a row that is added meanwhile moves nothing."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.problems import Refused
from ots.signing.keys import decode64, encode64

Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
Cursor = Annotated[str, msgspec.Meta(max_length=200)]
_BOUNDED: dict[type, Any] = {int: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]}
"""What no database could hold is nothing that a page gave."""


class PageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which page. `cursor` is what the page before gave as `next`."""

    limit: Limit = 50
    cursor: Cursor | None = None


async def page_of(
    connection: AsyncConnection,
    query: Select[Any],
    column: Any,
    page: PageQuery,
    *,
    newest_first: bool = False,
) -> tuple[list[Any], str | None]:
    """The rows of a page, ordered by a unique column, and the cursor of the next page. Raises Refused."""
    if page.cursor is not None:
        after = _read(page.cursor, column.type.python_type)
        query = query.where(column < after if newest_first else column > after)
    ordered = query.order_by(column.desc() if newest_first else column).limit(page.limit + 1)
    rows = list((await connection.execute(ordered)).all())
    if len(rows) <= page.limit:
        return rows, None
    rows = rows[: page.limit]
    return rows, encode64(msgspec.json.encode(getattr(rows[-1], column.name)))


def _read(cursor: str, kind: type) -> Any:
    try:
        after = msgspec.json.decode(decode64(cursor), type=_BOUNDED.get(kind, kind))
    except (ValueError, msgspec.DecodeError):
        raise Refused("invalid-request", "cursor: this is none that a page gave") from None
    if isinstance(after, str) and "\x00" in after:
        raise Refused("invalid-request", "cursor: this is none that a page gave")
    return after
