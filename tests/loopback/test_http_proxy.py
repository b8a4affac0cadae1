"""Proxies: honoured or bypassed because a parameter says so, through a real one written for the purpose."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from pydantic import ValidationError

from ots.netio.http.dialer import CountingHandler, Dialer
from ots.netio.http.proxy import check, choose
from ots.probe import Failed
from ots.probes.http_download import HTTPDownload, HTTPDownloadParams
from ots.probes.http_upload import HTTPUpload
from ots.probes.web_page import WebPage
from tests.peers.nginx import Nginx
from tests.recording import record

DOWN, UP, PAGE = HTTPDownload(), HTTPUpload(), WebPage()


@dataclass
class ForwardProxy:
    """A small forward proxy: absolute-form requests and CONNECT tunnels, one request a connection."""

    user: str | None = None
    status: int | None = None
    port: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *fields = head.rstrip().split("\r\n")
        self.requests.append(first)
        wanted = self.user and base64.b64encode(self.user.encode()).decode()
        if self.status is not None:
            writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        if wanted and f"Proxy-Authorization: Basic {wanted}" not in fields:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, place, version = first.split()
        if method == "CONNECT":
            host, _, port = place.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(place)
            far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            kept = [line for line in fields if not line.lower().startswith("proxy-")]
            far_writer.write("\r\n".join([f"{method} {path} {version}", *kept, "", ""]).encode("latin-1"))
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        far_writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(1 << 16):
            sink.write(piece)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()


@contextlib.asynccontextmanager
async def proxy(**options: Any) -> AsyncIterator[ForwardProxy]:
    running = ForwardProxy(**options)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(running.serve(reader, writer)))

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0)
    running.port = listener.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_plain_request_goes_to_the_proxy_in_absolute_form(nginx: Nginx) -> None:
    """Down and up through the proxy named; the method says which it was."""
    async with proxy() as through:
        down = await record(DOWN, f"{nginx.url}/1k", {"whole": True, "proxy": through.url})
        up = await record(UP, f"{nginx.url}/upload", {"size": 1000, "proxy": through.url})
    assert down.only.error is None and up.only.error is None
    assert down.only.method["proxy"] == through.url
    assert down.only.method["proxy_source"] == "parameter"
    assert through.requests[0] == f"GET {nginx.url}/1k HTTP/1.1"
    assert through.requests[1] == f"POST {nginx.url}/upload HTTP/1.1"


async def test_tls_request_goes_through_a_tunnel(nginx: Nginx) -> None:
    """CONNECT, then the handshake with the server itself, verified by its own name."""
    async with proxy(user="otto:open sesame") as through:
        made = await record(
            DOWN,
            f"{nginx.tls_url}/1k",
            {
                "whole": True,
                "proxy": through.url,
                "proxy_user": "otto",
                "proxy_password": "${secret:proxy}",
                "ca_file": str(nginx.authority.root),
            },
            secrets={"${secret:proxy}": "open sesame"},
        )
    assert made.only.error is None
    assert through.requests == [f"CONNECT localhost:{nginx.tls_port} HTTP/1.1"]
    assert made.only.triggers["tunnel_open"] <= made.only.triggers["tls_start"]
    assert "sesame" not in repr(made)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_without_the_right_password(nginx: Nginx, scheme: str) -> None:
    """407 from the proxy is `auth` in phase `proxy`, for plain requests and tunnels alike."""
    async with proxy(user="otto:secret") as through:
        url = f"{nginx.url}/1k" if scheme == "http" else f"{nginx.tls_url}/1k"
        made = await record(DOWN, url, {"proxy": through.url})
    error = made.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("auth", "proxy", "407")
    assert error.remedy is not None


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_does_not_accept_the_password(nginx: Nginx, scheme: str) -> None:
    """Credentials were given: the failure says that they weren't accepted, not that some are wanted."""
    async with proxy(user="otto:secret") as through:
        url = f"{nginx.url}/1k" if scheme == "http" else f"{nginx.tls_url}/1k"
        made = await record(
            DOWN,
            url,
            {"proxy": through.url, "proxy_user": "otto", "proxy_password": "${secret:proxy}"},
            secrets={"${secret:proxy}": "guessed"},
        )
    error = made.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("auth", "proxy", "407")
    assert "did not accept" in error.message
    assert "guessed" not in repr(made)
    (counted,) = made.only.samples("http_download_bytes_transferred")
    assert (counted.value, counted.reason) == (None, "auth")


async def test_proxy_that_refuses_the_tunnel(nginx: Nginx) -> None:
    """A CONNECT refused is `connect` in phase `proxy` with the proxy's status."""
    async with proxy(status=403) as through:
        made = await record(DOWN, f"{nginx.tls_url}/1k", {"proxy": through.url})
    error = made.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("connect", "proxy", "403")


async def test_proxy_that_is_not_there(nginx: Nginx) -> None:
    """The phase is `proxy`: it isn't the server that refused."""
    async with proxy() as through:
        url = through.url
    made = await record(DOWN, f"{nginx.url}/1k", {"proxy": url})
    error = made.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("refused", "proxy", "ECONNREFUSED")


async def test_environment_is_ignored_unless_asked_for(nginx: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default HTTP_PROXY doesn't exist for a probe; with `environment` it is honoured, NO_PROXY too."""
    async with proxy() as through:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, through.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        plain = await record(DOWN, f"{nginx.url}/1k", {"whole": True})
        assert (plain.only.method["proxy"], through.requests) == ("none", [])
        asked = await record(DOWN, f"{nginx.url}/1k", {"whole": True, "proxy": "environment"})
        assert asked.only.error is None
        assert (asked.only.method["proxy"], asked.only.method["proxy_source"]) == (through.url, "environment")
        assert len(through.requests) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        bypassed = await record(DOWN, f"{nginx.url}/1k", {"whole": True, "proxy": "environment"})
        assert (bypassed.only.method["proxy"], len(through.requests)) == ("none", 1)


def test_password_of_the_environments_proxy_stays_out_of_everything_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is used, and neither URL nor repr show it."""
    monkeypatch.setenv("https_proxy", "http://otto:s%40cret@proxy.example:8080")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    found = choose("environment", "https", "www.example")
    assert found is not None
    assert found.url == "http://proxy.example:8080"
    assert found.authorization == "Basic " + base64.b64encode(b"otto:s@cret").decode()
    assert "cret" not in repr(found)


def test_strange_proxy_of_the_environment_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS or TLS proxy can't be used: said, not silently bypassed."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for strange in ("socks5://127.0.0.1:1080", "https://proxy.example", "http://[::1", "http://"):
        monkeypatch.setenv("http_proxy", strange)
        with pytest.raises(Failed) as caught:
            choose("environment", "http", "www.example")
        assert caught.value.error.class_ == "unsupported"


@pytest.mark.parametrize(
    "setting",
    [
        "http://user:secret@proxy:1",
        "https://proxy:1",
        "socks5://proxy:1",
        "proxy:1",
        "http://",
        "http://p/x",
        "no",
    ],
)
def test_proxy_parameter_that_is_none(setting: str) -> None:
    """Each is refused before anything runs, and a password is not repeated."""
    with pytest.raises(ValueError) as caught:
        check(setting)
    assert "secret" not in str(caught.value)
    with pytest.raises(ValidationError):
        HTTPDownloadParams(proxy=setting)


def test_aiohttp_still_makes_its_connections_where_we_override_it() -> None:
    """The one private place of aiohttp that the dialer replaces: if it moves, this fails first."""
    assert Dialer._create_connection is not aiohttp.BaseConnector._create_connection
    assert "_create_connection" in vars(aiohttp.TCPConnector)
    parameters = aiohttp.TCPConnector._create_connection.__annotations__
    assert list(parameters) == list(Dialer._create_connection.__annotations__)
    assert issubclass(CountingHandler, asyncio.Protocol)


async def test_a_page_through_a_proxy(nginx: Nginx) -> None:
    """The page and its resources, plain and by tunnels; the proxy's refusal is the proxy's."""
    folder = nginx.root / "proxied"
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text("<img src=1.png><img src=2.png>")
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(b"x" * 1000)
    async with proxy() as through:
        for base in (nginx.url, nginx.tls_url):
            params = {"proxy": through.url, "ca_file": str(nginx.authority.root)}
            made = await record(PAGE, f"{base}/proxied/", params)
            assert made.only.error is None
            assert made.metric("web_requests").stats["value"] == 3
    assert {first.split()[0] for first in through.requests} == {"GET", "CONNECT"}
    async with proxy(user="ann:secret") as through:
        made = await record(PAGE, f"{nginx.url}/proxied/", {"proxy": through.url})
    assert made.only.error is not None
    assert (made.only.error.class_, made.only.error.phase, made.only.error.code) == ("auth", "proxy", "407")
