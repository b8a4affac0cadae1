"""A person's or a program's way to the server's interface, with an API token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from ots import __version__
from ots.remote.client import API, Patience, Refused, read_answer, trust
from ots.remote.retry import backoff

_USUAL = Patience(total=120.0)
_PAGE = 500
_LONGEST_PAUSE = 10.0


class Manager:
    """Requests to one server, as a context manager. The answers are JSON objects."""

    def __init__(self, url: str, token: str, *, ca: str | None = None) -> None:
        self._url = url
        self._token = token
        self._ca = ca
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Manager:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust(self._ca) if self._url.startswith("https") else False),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
            timeout=aiohttp.ClientTimeout(
                total=_USUAL.total, sock_connect=_USUAL.connect, sock_read=_USUAL.silence
            ),
            headers={
                "Authorization": f"Bearer {self._token}",
                "User-Agent": f"ots/{__version__}",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """One request below `/api/v1`; the answer's object, empty where it has none. Raises Refused."""
        assert self._session is not None
        url = f"{self._url}{API}{path}" + (f"?{urlencode(query)}" if query else "")
        typed = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method,
                url,
                data=None if body is None else msgspec.json.encode(body),
                headers=typed,
                allow_redirects=False,
            ) as response:
                answer = await read_answer(response)
        except TimeoutError:
            raise Refused("timeout", "the server did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Refused("unreachable", str(error)[:300] or type(error).__name__) from None
        return answer.read(dict[str, Any]) if answer.body else {}

    async def items(self, path: str, **query: Any) -> AsyncIterator[dict[str, Any]]:
        """Everything that a list holds, page by page. Raises Refused."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.call("GET", path, query={"limit": _PAGE, **query, **cursor})
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    async def changes(self, path: str, wait: float = 20.0) -> AsyncIterator[dict[str, Any]]:
        """A thing as it is now and each time that it has changed; whoever listens says when it is enough.

        That the server can't be reached for a while ends nothing. Raises Refused for what waiting won't mend.
        """
        mark, failures = "-", 0
        while True:
            try:
                seen = await self.call("GET", path, query={"mark": mark, "wait": wait})
            except Refused as refused:
                if refused.decision != "retry":
                    raise
                failures += 1
                await asyncio.sleep(min(_LONGEST_PAUSE, refused.retry_after or backoff(failures)))
                continue
            failures = 0
            if seen["mark"] != mark:
                mark = seen["mark"]
                yield seen
