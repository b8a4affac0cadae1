"""Signed requests to the server, and what its answers mean.

The way is TLS that the system's authorities, or the one file that was named, vouch for; plain HTTP only to
this machine or where somebody said so. A redirect is not followed: the server has one address. Nothing that
comes back is unpacked, and nothing is read beyond a limit.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from ots import __version__
from ots.netio.http import proxy as proxies
from ots.probe import Failed
from ots.remote.identity import Identity
from ots.remote.retry import Decision, decide
from ots.remote.wire import Problem
from ots.reports.plain import plain
from ots.signing.request import signed_headers

API = "/api/v1"
MAX_ANSWER = 1 << 20
_PROBLEM = "urn:ots:problem:"
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_CHUNK = 64 << 10

Message = TypeVar("Message")


class AddressError(ValueError):
    """A server's address that can't be used; the message says why, `remedy` what would do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Refused(Exception):
    """No success. `decision` says what to do, `code` why for a machine.

    `retry_after` (seconds) is what the server asked for. `arrived` is False only where it is certain that the
    server did not keep what was sent.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        decision: Decision = "retry",
        status: int | None = None,
        retry_after: float | None = None,
        arrived: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.decision: Decision = decision
        self.status = status
        self.retry_after = retry_after
        self.arrived = arrived


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[Message]) -> Message:
        """The body as a message. Raises Refused where it is none: then something else answered."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, RecursionError):
            raise Refused("answer-invalid", "the answer is not what an OTS server says") from None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: to connect, between two pieces of an answer, for one request."""

    connect: float = 10.0
    silence: float = 60.0
    total: float = 600.0


def check_address(url: str, *, plain_http: bool) -> str:
    """The server's address in its one form. Raises AddressError."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AddressError("this is no address of a server", "Write https://HOST[:PORT].") from None
    if parts.username is not None or parts.password is not None:
        raise AddressError("a server's address holds no user and password", "Give the token by --token-from.")
    if parts.scheme not in ("http", "https") or not host or parts.path not in ("", "/"):
        raise AddressError("this is no address of a server", "Write https://HOST[:PORT].")
    if parts.query or parts.fragment or any(ord(char) < 33 for char in url):
        raise AddressError("a server's address ends with its port", "Write https://HOST[:PORT].")
    if parts.scheme == "http" and not plain_http and not _is_loopback(host):
        raise AddressError(
            "over plain HTTP everybody on the way could read and change what is sent",
            "Write https://…; or say --plain-http if that is no concern here.",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


class Client:
    """Requests of one agent to one server, as a context manager. `clock_offset` may change meanwhile."""

    def __init__(
        self,
        url: str,
        who: Identity,
        *,
        clock_offset: float = 0.0,
        ca: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        self._url = URL(url)
        self._who = who
        self._ca = ca
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None
        self.clock_offset = clock_offset

    async def __aenter__(self) -> Client:
        context = trust(self._ca) if self._url.scheme == "https" else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=4),
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
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One signed request below `/api/v1`. Raises Refused.

        Where the server says that this machine's clock is wrong, its own time is taken for the signature and
        the request made once more; the clock itself is never set.
        """
        try:
            return await self._once(method, path, body, headers or {})
        except _ClockSkew as skew:
            if skew.server_time is None:
                raise
            self.clock_offset = skew.server_time - time.time()
            return await self._once(method, path, body, headers or {})

    async def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        assert self._session is not None
        url = self._url.with_path(API + path)
        signed = self._signed(method, url, body)
        through, for_proxy = self._proxy()
        tunnelled = self._url.scheme == "https"  # only a tunnel has a head of its own
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers={**headers, **signed, **({} if tunnelled else for_proxy)},
                allow_redirects=False,
                proxy=through,
                proxy_headers=for_proxy if tunnelled else None,
            ) as response:
                return await read_answer(response)
        except aiohttp.ClientConnectorError as error:
            raise Refused("unreachable", _reason(error), arrived=False) from None
        except aiohttp.ClientHttpProxyError as error:
            raise Refused("proxy", f"the proxy answered {error.status}", arrived=False) from None
        except TimeoutError:
            raise Refused("timeout", "the server did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Refused("connection-lost", _reason(error)) from None

    async def websocket(self, path: str, largest: int) -> aiohttp.ClientWebSocketResponse:
        """A signed request below `/api/v1`, upgraded; frames of at most `largest` bytes. Raises Refused.

        A refusal has a status and no code of the server, since its words are not read.
        """
        assert self._session is not None
        url = self._url.with_path(API + path)
        through, for_proxy = self._proxy()
        tunnelled = self._url.scheme == "https"
        try:
            async with asyncio.timeout(2 * self._patience.connect):
                return await self._session.ws_connect(
                    url,
                    headers={**self._signed("GET", url, b""), **({} if tunnelled else for_proxy)},
                    proxy=through,
                    proxy_headers=for_proxy if tunnelled else None,
                    compress=0,
                    max_msg_size=largest,
                    autoping=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            asked = retry_after(error.headers.get("Retry-After") if error.headers else None)
            text = f"the server answered {error.status}"
            raise Refused(f"http-{error.status}", text, status=error.status, retry_after=asked) from None
        except aiohttp.ClientConnectorError as error:
            raise Refused("unreachable", _reason(error), arrived=False) from None
        except aiohttp.ClientHttpProxyError as error:
            raise Refused("proxy", f"the proxy answered {error.status}", arrived=False) from None
        except TimeoutError:
            raise Refused("timeout", "the server did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Refused("connection-lost", _reason(error)) from None

    def _signed(self, method: str, url: URL, body: bytes) -> dict[str, str]:
        """The headers that sign a request now, by the server's clock."""
        return signed_headers(
            method,
            url.raw_path,
            "",
            body,
            key=self._who.key,
            key_id=self._who.agent_id,
            created=int(time.time() + self.clock_offset),
        )

    def _proxy(self) -> tuple[str | None, dict[str, str]]:
        """The environment's proxy for the server, and what it wants to know."""
        try:
            found = proxies.choose("environment", self._url.scheme, self._url.host or "")
        except Failed as error:
            raise Refused("proxy", str(error), arrived=False) from None
        if found is None:
            return None, {}
        return found.url, {"Proxy-Authorization": found.authorization} if found.authorization else {}


class _ClockSkew(Refused):
    """The server's word that the request's time is wrong; `server_time` in seconds since 1970."""

    server_time: float | None = None


async def read_answer(response: aiohttp.ClientResponse) -> Answer:
    """The whole answer of a success. Raises Refused for anything else."""
    body = await _body(response)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused("answer-invalid", "the answer is packed, which was not asked for")
    if 200 <= response.status < 300:
        return Answer(response.status, response.headers, body)
    raise _refusal(response, body)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_ANSWER:
            response.close()
            raise Refused("answer-too-large", f"the answer is larger than {MAX_ANSWER} B")
    return bytes(body)


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> Refused:
    problem = _problem(body)
    asked = retry_after(response.headers.get("Retry-After"))
    if problem is None:
        text = f"something that is no OTS server answered {response.status}"
        return Refused(f"http-{response.status}", text, status=response.status, retry_after=asked)
    if problem.retry_after is not None and problem.retry_after >= 0:
        asked = max(problem.retry_after, asked or 0.0)
    kind = _ClockSkew if problem.code == "clock-skew" else Refused
    refused = kind(
        problem.code,
        plain((problem.detail or problem.title)[:500]),
        decision=decide(response.status, problem.code),
        status=response.status,
        retry_after=asked,
        arrived=response.status >= 500 or problem.code == "revision-conflict",
    )
    if isinstance(refused, _ClockSkew):
        refused.server_time = _moment(response.headers.get("Date"))
    return refused


def _problem(body: bytes) -> Problem | None:
    try:
        found = msgspec.json.decode(body, type=Problem)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if found.type.startswith(_PROBLEM) and _CODE.fullmatch(found.code) else None


def retry_after(text: str | None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3), a number or a date."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    moment = _moment(text)
    return None if moment is None else max(0.0, moment - time.time())


def _moment(text: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None


def trust(ca: str | None) -> ssl.SSLContext:
    """Trust in this authority (PEM) alone, or in the system's. Raises AddressError."""
    try:
        return ssl.create_default_context(cadata=ca)
    except ssl.SSLError:
        raise AddressError("the file of --ca holds no certificate", "Name a file in PEM form.") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, asyncio.CancelledError):
        return "interrupted"
    return str(error)[:300] or type(error).__name__
