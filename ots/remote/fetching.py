"""How python-tuf's updater fetches: over aiohttp, bounded in time; the updater itself bounds the length.

The updater is synchronous and runs in a thread; every request is made in the event loop that started it.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface
from yarl import URL

from ots import __version__
from ots.content.held import Source
from ots.netio.http import proxy as proxies
from ots.probe import Failed
from ots.remote.client import Patience, trust

_CHUNK = 64 << 10
_FIRST_REFUSAL = 400
_NOT_MODIFIED = 304

Result = TypeVar("Result")

USUAL = Patience(connect=10.0, silence=20.0, total=60.0)
"""For one file."""


class Fetcher(FetcherInterface):
    """Requests to one host, as a context manager; redirects are not followed and nothing is unpacked.

    `clock_offset` becomes what the host's clock is ahead of ours, in seconds, as its `Date` headers say.
    """

    def __init__(self, source: Source, patience: Patience = USUAL) -> None:
        self._source = source
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._session: aiohttp.ClientSession | None = None
        self._answer: aiohttp.ClientResponse | None = None
        self._known: tuple[str, str, bytes] | None = None
        self.etag: str | None = None
        self.clock_offset: float | None = None
        self.bytes_received = 0

    async def __aenter__(self) -> Fetcher:
        context = trust(self._source.ca) if self._source.url.startswith("https:") else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=2),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=self._patience.total,
                sock_connect=self._patience.connect,
                sock_read=self._patience.silence,
            ),
            headers={"User-Agent": f"ots-agent/{__version__}", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every request; the updater hears of it as of a lost connection."""
        self._let_go()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def expect(self, url: str, etag: str, data: bytes) -> None:
        """If the host says that what lies at this URL is unchanged, these bytes are it."""
        self._known = (url, etag, data)

    def _fetch(self, url: str) -> Iterator[bytes]:
        response = self._wait_for(self._open(url))
        if response.status == _NOT_MODIFIED and self._known is not None and self._known[0] == url:
            yield self._known[2]
            return
        while chunk := self._wait_for(response.content.read(_CHUNK)):
            self.bytes_received += len(chunk)
            yield chunk

    async def _open(self, url: str) -> aiohttp.ClientResponse:
        self._let_go()
        if self._session is None:
            raise DownloadError("interrupted")
        known = self._known is not None and self._known[0] == url
        through, for_proxy = _proxy(url)
        headers = {"If-None-Match": self._known[1]} if known and self._known is not None else {}
        tunnelled = url.startswith("https:")  # only a tunnel has a head of its own
        response = await self._session.get(
            url,
            allow_redirects=False,
            headers={**headers, **({} if tunnelled else for_proxy)},
            proxy=through,
            proxy_headers=for_proxy if tunnelled else None,
        )
        self._answer = response
        self._note_clock(response)
        if response.status >= _FIRST_REFUSAL or (response.status >= 300 and not known):
            response.close()
            raise DownloadHTTPError(f"{url}: the answer was {response.status}", response.status)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise DownloadError(f"{url}: the answer is packed, which was not asked for")
        if url.endswith("/timestamp.json"):
            self.etag = response.headers.get("ETag")
        return response

    def _let_go(self) -> None:
        """Ends the answer before this one, of which the updater may have read enough."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _note_clock(self, response: aiohttp.ClientResponse) -> None:
        try:
            said = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
        except (ValueError, OverflowError):
            return
        self.clock_offset = said.timestamp() - time.time()

    def _wait_for(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Waits, in the updater's thread, for what happens in the loop. Raises DownloadError."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except TimeoutError:
            raise SlowRetrievalError("the answer did not come in time") from None
        except CancelledError:
            raise DownloadError("interrupted") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DownloadError(str(error)[:300] or type(error).__name__) from None


def _proxy(url: str) -> tuple[str | None, dict[str, str]]:
    """The environment's proxy for a URL, and what it wants to know."""
    place = URL(url)
    try:
        found = proxies.choose("environment", place.scheme, place.host or "")
    except Failed as error:
        raise DownloadError(str(error)) from None
    if found is None:
        return None, {}
    return found.url, {"Proxy-Authorization": found.authorization} if found.authorization else {}
