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
