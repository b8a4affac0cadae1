"""The repository's files over HTTP, as any static host would serve them: whole, with an ETag, to anybody."""

from __future__ import annotations

import asyncio
import hashlib
import re

from aiohttp import web

from ots.content.online import METADATA, TARGETS
from ots.server.services import SERVICES

_METADATA_NAME = re.compile(r"(?:[1-9][0-9]{0,8}\.)?[a-z]+\.json")
_TARGET_NAME = re.compile(r"[a-z]+/[0-9a-f]{64}\.[A-Za-z0-9_.-]{1,100}")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


def add_content(app: web.Application) -> None:
    """Adds `/content/metadata/…` and `/content/targets/…` to the application."""
    app.router.add_get("/content/metadata/{name}", _metadata)
    app.router.add_get("/content/targets/{name:.+}", _target)


async def _metadata(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if not _METADATA_NAME.fullmatch(name):
        raise web.HTTPNotFound
    changing = not name[0].isdigit()
    return await _file(request, METADATA, name, "application/json", _ASK_AGAIN if changing else _FOR_EVER)


async def _target(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if not _TARGET_NAME.fullmatch(name):
        raise web.HTTPNotFound
    return await _file(request, TARGETS, name, "application/octet-stream", _FOR_EVER)


async def _file(request: web.Request, folder: str, name: str, media_type: str, caching: str) -> web.Response:
    """The file as a whole: it was replaced whole, and is small."""
    content = request.app[SERVICES].content
    if content is None:
        raise web.HTTPNotFound
    try:
        data = await asyncio.to_thread((content.public / folder / name).read_bytes)
    except OSError:
        raise web.HTTPNotFound from None
    etag = hashlib.sha256(data).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    wanted = request.if_none_match
    if wanted is not None and any(one.value in (etag, "*") for one in wanted):
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, content_type=media_type, headers=headers)
