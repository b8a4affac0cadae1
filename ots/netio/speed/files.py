"""Servers that have a file for everything: LibreSpeed and Speedtest Mini. OTS's engine loads them.

    LibreSpeed   garbage.php?ckSize=MB     empty.php (POST, GET)     getIP.php
    Mini         speedtest/randomNxN.jpg   speedtest/upload.php      speedtest/latency.txt

Neither takes an endless body, so an upload is many of the size that their own clients send.
"""

from __future__ import annotations

import abc
import secrets
from collections.abc import AsyncIterator
from typing import ClassVar

from yarl import URL

from ots.netio.speed.client import SpeedClient
from ots.netio.speed.http_load import HTTPDownload, HTTPUpload, round_trips
from ots.netio.speed.load import Load
from ots.netio.speed.server import base_of, below
from ots.netio.speed.service import Busy, Service, Visit
from ots.probe import Failed

_CHUNK_MB = 100
"""What one request for garbage asks for; the server's own limit is 1024."""

_BUSY_WAIT = 5.0
_LIBRESPEED_FOLDERS = ("", "backend/")


class FileService(Service):
    """What both have in common. Each request has a query that no cache has seen."""

    piece: ClassVar[int]
    """Bytes of one upload."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._base = base_of(visit.target)

    @abc.abstractmethod
    def _down(self) -> URL: ...

    @abc.abstractmethod
    def _up(self) -> URL: ...

    @abc.abstractmethod
    def _empty(self) -> URL: ...

    async def round_trips(self, count: int, interval: float) -> AsyncIterator[float]:
        async for seconds in round_trips(self.visit, self._empty, count, interval, {}):
            yield seconds

    async def download(self, load: Load) -> None:
        await HTTPDownload(self.visit, load, self._down, {}).run()

    async def upload(self, load: Load) -> None:
        await HTTPUpload(self.visit, load, self._up, {}, piece=self.piece).run()

    async def close(self) -> None:
        """There are no places to give back."""

    def _refused(self, status: int) -> Failed:
        if status in (429, 503):
            return Busy(_BUSY_WAIT, f"the server answered {status}: it is busy")
        return Failed(
            "auth" if status in (401, 403) else "rejected",
            "first_byte",
            str(status),
            f"no {self.protocol} server here: it answered {status}",
        )


class LibreSpeedService(FileService):
    """A LibreSpeed backend; the URL is its folder, or that above `backend/`."""

    protocol = "librespeed"
    piece = 20_000_000

    async def open(self) -> None:
        client = SpeedClient(self.visit.way)
        try:
            status = 404
            for folder in _LIBRESPEED_FOLDERS:
                base = below(self._base, folder) if folder else self._base
                reply = await client.exchange("GET", _fresh(below(base, "empty.php")))
                status = reply.status
                if reply.accepted:
                    self._base = base
                    break
            else:
                raise self._refused(status)
            self.visit.ctx.method(client_address=await self._seen_as(client))
        finally:
            await client.close()

    async def _seen_as(self, client: SpeedClient) -> str | None:
        """The address that the server sees; it need not tell."""
        try:
            reply = await client.exchange("GET", below(self._base, "getIP.php"))
        except Failed:
            return None
        said = reply.document().get("processedString") if reply.accepted else None
        return said.partition(" ")[0][:60] if isinstance(said, str) and said.isprintable() else None

    def _down(self) -> URL:
        return _fresh(below(self._base, "garbage.php").with_query(ckSize=_CHUNK_MB))

    def _up(self) -> URL:
        return _fresh(below(self._base, "empty.php"))

    def _empty(self) -> URL:
        return _fresh(below(self._base, "empty.php"))


class MiniService(FileService):
    """A Speedtest Mini server."""

    protocol = "mini"
    piece = 7_340_032

    async def open(self) -> None:
        client = SpeedClient(self.visit.way)
        try:
            reply = await client.exchange("GET", self._empty())
        finally:
            await client.close()
        if not reply.accepted:
            raise self._refused(reply.status)
        if not reply.body.startswith(b"test=test"):
            raise Failed("protocol", "first_byte", "NO_MINI", "latency.txt does not say test=test")

    def _down(self) -> URL:
        return _fresh(below(self._base, "speedtest/random4000x4000.jpg"))

    def _up(self) -> URL:
        return _fresh(below(self._base, "speedtest/upload.php"))

    def _empty(self) -> URL:
        return _fresh(below(self._base, "speedtest/latency.txt"))


def _fresh(url: URL) -> URL:
    return url.update_query(x=secrets.token_hex(6))
