"""HAR 1.2: what a page load was made of, for a browser's developer tools.

Times in milliseconds, -1 for a phase that did not occur. Bodies are not kept, and neither is what opens
doors: cookies, credentials, the user of an address and the values in its query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from yarl import URL

from ots import __version__
from ots.clock import rfc3339
from ots.netio.web.exchange import Exchange

_HIDDEN = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
_HIDDEN_VALUE = "***"
_ADDRESSES = frozenset({"content-location", "link", "location", "refresh"})
"""Fields that hold addresses, and so perhaps a token in their query."""
_QUERY_VALUE = re.compile(r"([?&;][^=&;#\s]{1,200}=)[^&;#\s>]+")
_MAX_FIELDS = 100
_MAX_FIELD = 1000
_MAX_URL = 2000


def har(
    url: URL,
    exchanges: Sequence[Exchange],
    offset: float,
    start: float,
    content: float | None,
    load: float | None,
) -> bytes:
    """The archive of one page load. `offset` turns monotonic instants into wall-clock ones; `start`,
    `content` (end of the document) and `load` (end of everything) are monotonic."""
    page = {
        "startedDateTime": rfc3339(start + offset),
        "id": "page_1",
        "title": shown(url),
        "pageTimings": {"onContentLoad": _ms(content, start), "onLoad": _ms(load, start)},
        "comment": "light mode: fetched, not rendered",
    }
    ordered = sorted(exchanges, key=lambda exchange: exchange.start)
    log = {
        "version": "1.2",
        "creator": {"name": "OTS", "version": __version__},
        "pages": [page],
        "entries": [_entry(exchange, offset) for exchange in ordered],
    }
    return json.dumps({"log": log}, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _ms(instant: float | None, start: float) -> float:
    return -1 if instant is None else round((instant - start) * 1000, 3)


def _entry(exchange: Exchange, offset: float) -> dict[str, Any]:
    phases = exchange.phases
    timings = {
        name: -1 if seconds is None else round(seconds * 1000, 3)
        for name, seconds in (
            ("blocked", phases.blocked),
            ("dns", phases.dns),
            ("connect", phases.connect),
            ("ssl", phases.ssl),
        )
    }
    # These three are never absent in HAR 1.2.
    for name, seconds in (("send", phases.send), ("wait", phases.wait), ("receive", phases.receive)):
        timings[name] = round((seconds or 0.0) * 1000, 3)
    time = sum(value for name, value in timings.items() if value > 0 and name != "ssl")
    entry: dict[str, Any] = {
        "pageref": "page_1",
        "startedDateTime": rfc3339(exchange.start + offset),
        "time": round(time, 3),
        "request": _request(exchange),
        "response": _response(exchange),
        "cache": {},
        "timings": timings,
        "_resourceType": exchange.kind,
    }
    if exchange.address:
        entry["serverIPAddress"] = exchange.address
    if exchange.connection:
        entry["connection"] = str(exchange.connection)
    return entry


def _request(exchange: Exchange) -> dict[str, Any]:
    query = parse_qsl(exchange.url.raw_query_string[:_MAX_URL], keep_blank_values=True)[:_MAX_FIELDS]
    return {
        "method": "GET",
        "url": shown(exchange.url),
        "httpVersion": exchange.version or "HTTP/1.1",
        "cookies": [],
        "headers": _fields(exchange.request_headers),
        "queryString": [{"name": name, "value": _HIDDEN_VALUE} for name, _value in query],
        "headersSize": -1,
        "bodySize": 0,
    }


def _response(exchange: Exchange) -> dict[str, Any]:
    answered = exchange.status > 0
    made: dict[str, Any] = {
        "status": exchange.status,
        "statusText": exchange.reason,
        "httpVersion": exchange.version or "unknown",
        "cookies": [],
        "headers": _fields(exchange.headers),
        "content": {
            "size": exchange.decoded,
            "mimeType": (exchange.header("Content-Type") or "x-unknown")[:_MAX_FIELD],
        },
        "redirectURL": "" if exchange.redirect is None else shown(exchange.redirect),
        "headersSize": max(0, exchange.transferred - exchange.content) if answered else -1,
        "bodySize": exchange.content if answered else -1,
        "_transferSize": exchange.transferred,
    }
    if exchange.error is not None:
        made["_error"] = f"{exchange.error.class_}/{exchange.error.phase} {exchange.error.code}"
    return made


def _fields(headers: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {"name": name[:_MAX_FIELD], "value": _field(name, value)} for name, value in headers[:_MAX_FIELDS]
    ]


def _field(name: str, value: str) -> str:
    if name.lower() in _HIDDEN:
        return _HIDDEN_VALUE
    if name.lower() in _ADDRESSES:
        return _QUERY_VALUE.sub(rf"\1{_HIDDEN_VALUE}", value)[:_MAX_FIELD]
    return value[:_MAX_FIELD]


def shown(url: URL) -> str:
    """An address as it may stand in a report: no user, no values in its query."""
    bare = str(url.with_user(None))
    return _QUERY_VALUE.sub(rf"\1{_HIDDEN_VALUE}", bare)[:_MAX_URL]
