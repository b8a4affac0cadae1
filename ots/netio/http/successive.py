"""Bodies that follow one another on a plain connection, asked for by the thread that reads them.

Going back to aiohttp for every body costs more than a body of some megabytes on a fast path. So the thread
repeats the request by itself, on the persistent connection (RFC 9112 §9.3), and shortly before a body ends,
so that the path is never idle (pipelining, §9.3.2). It understands only the plainest
answer: 200 with a Content-Length. Whatever else comes, it gives up: the connection is closed, and the request
made anew on another one, where aiohttp judges the answer.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from yarl import URL

from ots.netio.http.client import MAX_FIELD, Answer
from ots.netio.http.framing import Framing
from ots.probe import Failed

AHEAD = 1 << 20
"""With so many bytes of a body left the next one is asked for."""

_GULP = 4096
_LENGTH = re.compile(rb"\d{1,18}")


class Successive:
    """Makes the requests after the first one, whose answer is `answer`.

    `url` gives the address of each, on the same server. `patience`: seconds for an answer's first byte.
    """

    def __init__(self, answer: Answer, url: Callable[[], URL], patience: float) -> None:
        self.given_up = False
        """The connection is of no use any more."""
        self._asked = False
        self._url = url
        self._patience = patience
        headers = answer.response.request_info.headers
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"

    def ask(self, sock: socket.socket) -> None:
        """Sends the next request, if that has not been done; also before a body ends."""
        if self._asked or self.given_up:
            return
        self._asked = True
        try:
            sock.sendall(f"GET {self._url().raw_path_qs} HTTP/1.1\r\n{self._fields}".encode())
        except OSError:
            self.given_up = True

    def next(self, sock: socket.socket) -> tuple[Framing, memoryview] | None:
        """Asks for the next body: its framing, and what of it came with the header. None: gave up.

        `Failed` if no answer comes in time.
        """
        self.ask(sock)
        self._asked = False
        if self.given_up:
            return None
        sock.settimeout(self._patience)
        try:
            head, body = _header(sock)
        except TimeoutError:
            raise Failed(
                "timeout", "first_byte", "TIMEOUT", f"no answer within {self._patience:g} s", retryable=True
            ) from None
        except OSError:
            # A server may close a connection between two requests whenever it likes (RFC 9112 §9.5).
            self.given_up = True
            return None
        length = _length(head)
        if length is None:
            self.given_up = True
            return None
        sock.settimeout(None)
        return Framing(length), memoryview(body)


def _header(sock: socket.socket) -> tuple[bytes, bytes]:
    """An answer's header, and what came behind it. OSError if the connection ends before."""
    head, end = b"", -1
    while end < 0:
        data = sock.recv(_GULP)
        if not data or len(head) > MAX_FIELD:
            raise ConnectionError("no header")
        head += data
        end = head.find(b"\r\n\r\n")
    return head[:end], head[end + 4 :]


def _length(head: bytes) -> int | None:
    """The body's length if the answer is a plain one with content and the connection stays open."""
    status, *lines = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 200 "):
        return None
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip())
    if b"transfer-encoding" in fields or b"connection" in fields and fields[b"connection"] != [b"keep-alive"]:
        return None
    lengths = fields.get(b"content-length", [])
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return None
    return int(lengths[0]) or None
