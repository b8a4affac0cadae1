"""Where the content lies in a body on the wire: by length, in chunks, or up to the end (RFC 9112 §6).

A reader sees in `certain` how many bytes of content come next, and may throw that many away unseen;
everything else it feeds in.
"""

from __future__ import annotations

from collections.abc import Mapping

from ots.probe import Failed

LARGE = 64 << 10
"""Bytes of content from which on it is worth while to read them apart from the lines around them."""

_LINE = 4096
_ENDLESS = 1 << 62


class Framing:
    """One body. `ended` once its last byte has been skipped or fed; `overhead` is what was no content."""

    def __init__(self, length: int | None) -> None:
        """`length` bytes, or with None all that comes until the connection's end."""
        self.certain = _ENDLESS if length is None else length
        self.ended = length == 0
        self.overhead = 0
        self.beyond = 0
        """Bytes that were fed and lie behind the body's end."""
        self._broken: Failed | None = None
        self._bounded = length is not None

    @property
    def appetite(self) -> int:
        """How many bytes to read at most where they have to be looked at."""
        return self.certain

    def skip(self, count: int) -> None:
        """`count` bytes of content went by, at most `certain`."""
        self.certain -= count
        if not self.certain:
            self._content_over()

    def feed(self, data: memoryview) -> list[memoryview]:
        """The pieces of content in what came, as far as it is HTTP; `verify` says if it wasn't."""
        pieces, place = [], 0
        while place < len(data) and not (self.ended or self._broken):
            if self.certain:
                piece = data[place : place + self.certain]
                pieces.append(piece)
                place += len(piece)
                self.skip(len(piece))
            else:
                try:
                    used = self._line(bytes(data[place : place + _LINE]))
                except Failed as failure:
                    self._broken = failure
                    return pieces
                self.overhead += used
                place += used
        self.beyond += len(data) - place
        return pieces

    def verify(self) -> None:
        """`Failed`, class `protocol`, once something was fed that is no HTTP."""
        if self._broken is not None:
            raise self._broken

    def eof(self) -> None:
        """The connection has ended. `Failed`, class `cutoff`, if the body had not."""
        if self._bounded:
            raise Failed("cutoff", "transfer", "EOF", "the connection ended before the body", retryable=True)
        self.ended = True

    def _content_over(self) -> None:
        self.ended = self._bounded

    def _line(self, data: bytes) -> int:
        raise AssertionError("only chunks have lines")


class Chunks(Framing):
    """A body in chunks (RFC 9112 §7.1)."""

    def __init__(self) -> None:
        super().__init__(0)
        self.ended = False
        self._last = 0
        self._half = b""
        self._due = self._size

    @property
    def appetite(self) -> int:
        # Behind a large chunk just the two lines up to the next one.
        return self.certain + 64 if self._last >= LARGE else _ENDLESS

    def _content_over(self) -> None:
        self._due = self._after_chunk

    def _line(self, data: bytes) -> int:
        end = data.find(b"\n")
        used = end + 1 if end >= 0 else len(data)
        self._half += data[:used]
        if len(self._half) > _LINE:
            raise _garbled()
        if end >= 0:
            line, self._half = self._half.rstrip(b"\r\n"), b""
            self._due(line)
        return used

    def _size(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > 15 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            raise _garbled()
        self.certain = self._last = int(digits, 16)
        if not self.certain:
            self._due = self._trailer

    def _after_chunk(self, line: bytes) -> None:
        if line:
            raise _garbled()
        self._due = self._size

    def _trailer(self, line: bytes) -> None:
        self.ended = not line


def framing_of(headers: Mapping[str, str], length: int | None) -> Framing:
    """How the body of an answer with these headers is framed; chunks win over a length (RFC 9112 §6.3)."""
    coding = headers.get("Transfer-Encoding", "").lower()
    return Chunks() if coding.rpartition(",")[2].strip() == "chunked" else Framing(length)


def _garbled() -> Failed:
    return Failed("protocol", "transfer", "BAD_CHUNK", "the body's chunks are not valid HTTP")
