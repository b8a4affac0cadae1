"""Takes a request's body within bounds: bytes, time, and what it unpacks to."""

from __future__ import annotations

import asyncio
import hashlib
import zlib

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError

from ots.server.api.problems import Refused
from ots.server.patience import Patience


async def take_body(request: web.Request, limit: int, patience: Patience) -> bytes:
    """The body as it travels. Raises Refused: too-large, too-slow, invalid-request (it broke off)."""
    stated = request.content_length
    if stated is not None and stated > limit:
        raise Refused("too-large", f"at most {limit} bytes are taken here")
    loop = asyncio.get_running_loop()
    start = loop.time()
    parts: list[bytes] = []
    size = 0
    while True:
        left = start + patience.silence + size / patience.slowest - loop.time()
        try:
            async with asyncio.timeout(left):
                part = await request.content.readany()
        except TimeoutError:
            fair = f"a body has {patience.silence:g} s and a second for {patience.slowest} bytes"
            raise Refused("too-slow", fair) from None
        except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as error:
            raise Refused("invalid-request", f"the body broke off: {error}") from None
        if not part and request.content.at_eof():
            return b"".join(parts)
        size += len(part)
        if size > limit:
            raise Refused("too-large", f"at most {limit} bytes are taken here")
        parts.append(part)


def unpacked(request: web.Request, body: bytes, limit: int) -> bytes:
    """The body without its Content-Encoding (gzip or none). Raises Refused."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        if len(body) > limit:
            raise Refused("too-large", f"at most {limit} bytes are taken here")
        return body
    if encoding != "gzip":
        raise Refused("unsupported-media", "Content-Encoding may be gzip")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Refused("invalid-body", f"the body is no gzip: {error}") from None
    if len(found) > limit:
        raise Refused("expands-too-far", f"at most {limit} bytes are taken, unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise Refused("invalid-body", "the gzip body is not whole, or has something behind it")
    return found


def check_digest(body: bytes, promised: bytes | None) -> None:
    """Raises Refused unless the body is what the signed header promises."""
    if promised is None:
        if body:
            raise Refused("digest-mismatch", "the body is not signed")
    elif hashlib.sha256(body).digest() != promised:
        raise Refused("digest-mismatch", "the body differs from its Content-Digest")
