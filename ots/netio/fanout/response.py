"""An HTTP/1.1 answer taken in as it arrives (RFC 9112), bounded in every direction.

Of the body nothing is kept but its length and whether a text is in it, unless `keep` is asked for. `Failed`
says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ots.model.outcome import Phase
from ots.netio.errors import classify
from ots.probe import Failed

MAX_HEAD = 64 << 10
"""Bytes of all headers of an answer together, interim answers' included."""

MAX_FIELDS = 200

_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n")
_NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELDS = re.compile(rb"(?:%b:[^\n]*\n)*" % _NAME)
"""All lines of fields; RFC 9112 section 5.2 forbids lines that go on (obs-fold)."""
_FIELD = re.compile(rb"\n(%b):[ \t]*([^\r\n]*)" % _NAME)
_FRAMING = re.compile(rb"\n(content-length|transfer-encoding):[ \t]*([^\r\n]*)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_MAX_LINE = 4096
"""Bytes of the line before a chunk, extensions included, and of a trailer's."""
_CHARSET = re.compile(r"charset=\"?([A-Za-z0-9_.:-]{1,40})")


class Response:
    """One answer. `head` says that the request was HEAD; a body above `max_bytes` is a failure.

    `found` tells whether `text` occurred in the body, None where none is looked for. `content` is the body
    with `keep`, else None.
    """

    __slots__ = (
        "_buffer",
        "_chunk",
        "_head",
        "_left",
        "_lines",
        "_max",
        "_mode",
        "_needle",
        "_tail",
        "_text",
        "_trailer",
        "body",
        "complete",
        "content",
        "found",
        "reason",
        "received",
        "status",
        "version",
    )

    def __init__(
        self, *, max_bytes: int, text: str | None = None, head: bool = False, keep: bool = False
    ) -> None:
        self.status = 0
        self.version = ""
        self.content: bytearray | None = bytearray() if keep else None
        self.reason = ""
        self.body = 0
        self.received = 0
        self.complete = False
        self.found: bool | None = None if text is None else False
        self._head = head
        self._lines = b""
        self._max = max_bytes
        self._text = text
        self._needle = b""
        self._tail = b""
        self._mode = "head"
        self._buffer = b""
        self._left = 0
        self._chunk = "size"
        self._trailer = 0

    @property
    def pairs(self) -> Sequence[tuple[bytes, bytes]]:
        """The header's fields one by one, as they came."""
        return _FIELD.findall(self._lines)

    def field(self, name: bytes) -> str | None:
        """The value of a field by its name in lower case; several of one name stand with commas between."""
        values = [value.rstrip() for each, value in _FIELD.findall(self._lines) if each.lower() == name]
        return b", ".join(values).decode("latin-1") if values else None

    def feed(self, data: bytes) -> None:
        """Takes what has arrived. Sets `complete`; what comes after the end is left aside."""
        self.received += len(data)
        if self._mode == "head":
            data = self._take_head(data)
            if self._mode == "head":
                return
        if self._mode == "length":
            data = data[: self._left]
            self._left -= len(data)
            self._content(data)
            self.complete = not self._left
        elif self._mode == "chunked":
            self._chunked(data)
        elif self._mode == "close":
            self._content(data)

    def eof(self) -> None:
        """The peer has ended the connection."""
        if self._mode == "close":
            self.complete = True
        elif self._mode != "head":
            raise Failed("cutoff", "transfer", "EOF", "the connection ended before the body", retryable=True)
        elif self.received:
            raise classify(EOFError(), "first_byte", "the connection ended within the header")
        else:
            raise classify(EOFError(), "first_byte", "the server closed the connection without an answer")

    def forget(self) -> None:
        """Lets go of what only mattered until the answer was judged: its fields, and pieces of the body."""
        self._lines = self._buffer = self._tail = b""

    def _take_head(self, data: bytes) -> bytes:
        """Parses the header once all of it is there; returns what follows it."""
        buffer = self._buffer + data if self._buffer else data
        while True:
            if not buffer.startswith(b"HTTP/"[: len(buffer)]):
                raise _bad("the answer does not begin with HTTP/")
            end = buffer.find(b"\r\n\r\n", max(0, len(self._buffer) - 3))
            if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
                raise _bad(f"a header of more than {MAX_HEAD} bytes", "HEADER_TOO_LARGE")
            if end < 0:
                self._buffer = buffer
                return b""
            self._parse(buffer[: end + 2])
            rest = buffer[end + 4 :]
            if self.status >= 200 or self.status == 101:
                self._buffer = b""
                self._frame()
                return rest
            if self.received - len(rest) > MAX_HEAD:
                raise _bad(f"interim answers of more than {MAX_HEAD} bytes", "HEADER_TOO_LARGE")
            buffer, self._buffer = rest, b""

    def _parse(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if status is None:
            raise _bad("no valid status line")
        self.version = status[1].decode()
        self.status = int(status[2])
        self.reason = (status[3] or b"").decode("latin-1").strip()
        begin = status.end()
        if _FIELDS.fullmatch(head, begin) is None:
            raise _bad("a header field that is none")
        if head.count(b"\n", begin) > MAX_FIELDS:
            raise _bad(f"a header of more than {MAX_FIELDS} fields", "HEADER_TOO_LARGE")
        self._lines = head[begin - 1 :]

    def _frame(self) -> None:
        """How the body ends (RFC 9112 section 6.3)."""
        framing: dict[bytes, bytes] = {}
        for name, value in _FRAMING.findall(self._lines):
            name, value = name.lower(), value.rstrip()
            framing[name] = framing[name] + b", " + value if name in framing else value
        coding, length = framing.get(b"transfer-encoding"), framing.get(b"content-length")
        if self._head or self.status in (101, 204, 304):
            self._mode, self.complete = "none", True
        elif coding is not None:
            if coding.lower() != b"chunked":
                raise _bad(f"transfer coding {coding[:40].decode('latin-1')!r} is not known", "BAD_CODING")
            self._mode = "chunked"
        elif length is not None:
            same = {part.strip() for part in length.split(b",")}
            first = same.pop()
            if same or not first.isdigit() or len(first) > 18:
                raise _bad("no valid Content-Length", "BAD_LENGTH")
            self._mode, self._left = "length", int(first)
            self._limit(self._left)
        else:
            self._mode = "close"
        if self._text is not None:
            self._prepare(self._text)

    def _prepare(self, text: str) -> None:
        """The text in the body's encoding."""
        if (self.field(b"content-encoding") or "").lower() not in ("identity", ""):
            raise Failed(
                "protocol", "first_byte", "CONTENT_ENCODING", "the body is compressed though nobody asked"
            )
        named = _CHARSET.search((self.field(b"content-type") or "").lower())
        try:
            self._needle = text.encode(named[1] if named else "utf-8")
        except (LookupError, UnicodeError):
            self._needle = text.encode()

    def _content(self, data: bytes) -> None:
        self.body += len(data)
        self._limit(self.body)
        if self.content is not None:
            self.content += data
        if self.found is False:
            window = self._tail + data
            self.found = self._needle in window
            self._tail = window[max(0, len(window) - len(self._needle) + 1) :]

    def _limit(self, size: int) -> None:
        if size > self._max:
            raise Failed(
                "content", "transfer", "TOO_LARGE", f"the body has more than {self._max} bytes (max_bytes)"
            )

    def _chunked(self, data: bytes) -> None:
        """Chunks and the trailer (RFC 9112 section 7.1)."""
        buffer = self._buffer + data
        at = 0
        while not self.complete:
            if self._chunk == "data":
                piece = buffer[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._content(piece)
                if self._left:
                    break
                self._chunk = "end"
            end = buffer.find(b"\r\n", at)
            if end < 0:
                if len(buffer) - at > _MAX_LINE:
                    raise _bad("the body's chunks are not valid HTTP", "BAD_CHUNK", "transfer")
                break
            self._line(buffer[at:end])
            at = end + 2
        self._buffer = buffer[at:]

    def _line(self, line: bytes) -> None:
        if self._chunk == "size":
            size = _CHUNK.fullmatch(line)
            if size is None:
                raise _bad("the body's chunks are not valid HTTP", "BAD_CHUNK", "transfer")
            self._left = int(size[1], 16)
            self._limit(self.body + self._left)
            self._chunk = "data" if self._left else "trailer"
        elif self._chunk == "end":
            if line:
                raise _bad("the body's chunks are not valid HTTP", "BAD_CHUNK", "transfer")
            self._chunk = "size"
        else:
            self._trailer += len(line)
            self.complete = not line
            if self._trailer > MAX_HEAD:
                raise _bad(f"a trailer of more than {MAX_HEAD} bytes", "HEADER_TOO_LARGE", "transfer")


def _bad(message: str, code: str = "BAD_RESPONSE", phase: Phase = "first_byte") -> Failed:
    return Failed("protocol", phase, code, message)
