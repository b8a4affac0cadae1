"""The HTTP client of speed tests: headers of the test on every request, and small documents both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from ots.netio.http.client import Answer, Client
from ots.netio.http.dialer import CountingHandler, Way
from ots.probe import Failed

MAX_DOCUMENT = 64 << 10


@dataclass(frozen=True, slots=True)
class Reply:
    """A small answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    round_trip: float
    """Seconds from the request's header to the answer's first byte."""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    def document(self) -> dict[str, Any]:
        """The JSON object in the body, empty if that is none."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return found if isinstance(found, dict) else {}


class SpeedClient(Client):
    """One connection to a server of speed tests."""

    def __init__(self, way: Way, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(way)
        self.headers = dict(headers or {})
        self._speed_way = way
        self._patience = way.timeout

    async def _request(
        self,
        method: str,
        url: URL,
        *,
        timed: bool,
        body: AsyncIterator[memoryview] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[aiohttp.ClientResponse, CountingHandler]:
        own = {**self.headers, **(headers or {})}
        return await super()._request(method, url, timed=timed, body=body, headers=own)

    async def exchange(self, method: str, url: URL, document: object = None) -> Reply:
        """One small request and its whole answer; no redirect is followed. `Failed` if there is none."""
        headers: dict[str, str] = {}
        body = None
        if document is not None:
            data = msgspec.json.encode(document)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
            body = _once(data)
        response, handler = await self._request(method, url, timed=True, body=body, headers=headers)
        answer = Answer(response, handler, 0)
        sent, first = self.request_sent, answer.arrivals.first
        content = await self._small(answer)
        waited = first - sent if sent is not None and first is not None else 0.0
        return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, content, waited)

    async def websocket(self, url: URL, protocol: str, largest: int) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket on this connection, without compression. Raises what aiohttp raises, and `Failed`."""
        proxy = self._speed_way.proxy
        plain = proxy is not None and url.scheme == "http"
        headers = dict(self.headers)
        if plain and proxy is not None and proxy.authorization is not None:
            headers["Proxy-Authorization"] = proxy.authorization
        return await self._session.ws_connect(
            url,
            protocols=(protocol,),
            compress=0,
            max_msg_size=largest,
            headers=headers,
            proxy=URL(proxy.url) if plain and proxy is not None else None,
        )

    @property
    def last_arrival(self) -> float:
        """When bytes last came from the socket."""
        handler = self.dialer.handler
        return self._speed_way.clock.monotonic() if handler is None else handler.arrivals.last

    @property
    def lost(self) -> OSError | None:
        """What the system said when the connection ended, if that was an error."""
        handler = self.dialer.handler
        return handler.lost if handler is not None and isinstance(handler.lost, OSError) else None

    async def _small(self, answer: Answer) -> bytes:
        content = bytearray()
        try:
            async with asyncio.timeout(self._patience):
                async for piece in answer.pieces():
                    content += piece
                    if len(content) > MAX_DOCUMENT:
                        raise Failed(
                            "protocol", "transfer", "TOO_LONG", f"an answer of more than {MAX_DOCUMENT} bytes"
                        )
        except TimeoutError:
            raise Failed(
                "timeout", "transfer", "TIMEOUT", f"no whole answer within {self._patience:g} s"
            ) from None
        return bytes(content)


async def _once(data: bytes) -> AsyncIterator[memoryview]:
    yield memoryview(data)
