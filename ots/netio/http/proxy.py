"""HTTP proxies: used when a parameter says so, never because a variable happens to be set."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from ots.i18n import N_
from ots.netio.errors import classify
from ots.probe import Failed

DEFAULT_PORT = 3128
MAX_HEAD = 16 << 10

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `source` says who chose it: `parameter` or `environment`."""

    host: str
    port: int
    source: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def check(setting: str) -> str:
    """The parameter `proxy` as it may be written; ValueError says what is wrong."""
    if setting in ("none", "environment"):
        return setting
    parts = urlsplit(setting)
    if parts.password is not None or parts.username is not None:
        raise ValueError("a proxy's URL holds no user and password: give proxy_user and proxy_password")
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError("expected none, environment or http://HOST:PORT")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("a port is a number from 1 to 65535") from None
    return setting


def choose(
    setting: str, scheme: str, host: str, *, user: str | None = None, password: str | None = None
) -> Proxy | None:
    """The proxy for one URL, or None to go directly. `Failed` if the environment names a strange one."""
    if setting == "none":
        return None
    if setting != "environment":
        parts = urlsplit(setting)
        return Proxy(parts.hostname or "", parts.port or DEFAULT_PORT, "parameter", _basic(user, password))
    proxies = getproxies_environment()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(host, proxies):
        return None
    try:
        parts = urlsplit(found if "://" in found else f"http://{found}")
        port = parts.port or DEFAULT_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise Failed(
            "unsupported",
            "proxy",
            "PROXY_SCHEME",
            f"the environment's proxy for {scheme} is no http:// proxy",
            remedy=N_("Name a proxy with proxy: http://HOST:PORT, or go without: proxy: none."),
        )
    name, secret = parts.username, parts.password
    return Proxy(
        parts.hostname,
        port,
        "environment",
        _basic(unquote(name) if name else user, unquote(secret) if secret else password),
    )


async def open_tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int, timeout: float) -> None:
    """CONNECT over a connected non-blocking socket (RFC 9110 §9.3.6). `Failed` in phase `proxy`."""
    name = f"[{host}]" if ":" in host else host
    lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            head = await _head(sock)
    except (OSError, EOFError) as error:
        raise classify(error, "proxy") from None
    status = _STATUS.match(head)
    if status is None:
        raise Failed("protocol", "proxy", "BAD_STATUS_LINE", f"{proxy.url} did not answer in HTTP")
    if not status[1].startswith(b"2"):
        raise refused(proxy, int(status[1]))


async def _head(sock: socket.socket) -> bytes:
    """The answer up to its empty line, byte for byte: what follows belongs to the tunnel."""
    loop = asyncio.get_running_loop()
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = await loop.sock_recv(sock, 1)
        if not byte:
            raise EOFError
        head += byte
        if len(head) > MAX_HEAD:
            raise Failed(
                "protocol", "proxy", "LONG_HEADER", f"the proxy's answer is longer than {MAX_HEAD} B"
            )
    return bytes(head)


def refused(proxy: Proxy, status: int) -> Failed:
    """What a proxy's own refusal means."""
    if status == 407 and proxy.authorization is not None:
        return Failed(
            "auth",
            "proxy",
            "407",
            f"{proxy.url} did not accept the user and the password that were given",
            remedy=N_("Check proxy_user and proxy_password, and whether the proxy takes Basic credentials."),
        )
    if status == 407:
        return Failed(
            "auth",
            "proxy",
            "407",
            f"{proxy.url} wants a user and a password",
            remedy=N_("Give proxy_user and proxy_password."),
        )
    return Failed(
        "connect",
        "proxy",
        str(status),
        f"{proxy.url} refused the tunnel with status {status}",
        retryable=status >= 500,
    )


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    return "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
