"""Does anybody answer behind one of these URLs? Asked before a new server list takes the place of the old."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from ots.remote.client import trust

_PATIENCE = aiohttp.ClientTimeout(total=8.0, sock_connect=5.0)
_AT_ONCE = 8


async def any_answers(urls: Sequence[str]) -> bool:
    """Whether an HTTP server answers, with whatever status, at one of them."""
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust(None)),
        timeout=_PATIENCE,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        questions = [asyncio.create_task(_answers(session, url, gate)) for url in urls]
        try:
            for answer in asyncio.as_completed(questions):
                if await answer:
                    return True
            return False
        finally:
            for question in questions:
                question.cancel()
            await asyncio.gather(*questions, return_exceptions=True)


async def _answers(session: aiohttp.ClientSession, url: str, gate: asyncio.Semaphore) -> bool:
    scheme, _, rest = url.partition("://")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    async with gate:
        try:
            async with session.get(f"{scheme}://{rest}", allow_redirects=False):
                return True
        except (aiohttp.ClientError, OSError, ValueError):
            return False
