"""Bodies of requests that are counted and dropped: consumers for a doorway (RFC 9112, 6.2 and 7.1)."""

from __future__ import annotations

import time
from collections.abc import Callable

_LINE_BYTES = 256
"""A chunk's size and its extensions may be so long; a trailer's lines, too."""
_TRAILER_LINES = 32


class SizedBody:
    """A body of a known number of bytes. `add` hears of each read: instant and bytes."""

    def __init__(self, size: int, add: Callable[[float, int], None]) -> None:
        self._left = size
        self._add = add

    @property
    def droppable(self) -> int:
        return self._left

    def __call__(self, view: memoryview) -> int | None:
        own = min(len(view), self._left)
        self._left -= own
        self._add(time.monotonic(), own)
        return None if self._left else own

    def dropped(self, count: int) -> bool:
        self._left -= count
        self._add(time.monotonic(), count)
        return not self._left


class ChunkedBody:
    """A body in chunks. ValueError for what is none."""

    def __init__(self, add: Callable[[float, int], None]) -> None:
        self._add = add
        self._left = 0
        self._line = bytearray()
        self._take_line = self._size_line
        self._trailers = 0
        self._whole = False

    @property
    def droppable(self) -> int:
        return self._left

    def dropped(self, count: int) -> bool:
        self._left -= count
        self._add(time.monotonic(), count)
        if not self._left:
            self._take_line = self._end_of_chunk
        return False

    def __call__(self, view: memoryview) -> int | None:
        at, content = 0, 0
        while at < len(view) and not self._whole:
            if self._left:
                own = min(len(view) - at, self._left)
                self._left -= own
                content += own
                at += own
                if not self._left:
                    self._take_line = self._end_of_chunk
            else:
                at = self._through_line(view, at)
        if content:
            self._add(time.monotonic(), content)
        return at if self._whole else None

    def _through_line(self, view: memoryview, at: int) -> int:
        part = bytes(view[at : at + _LINE_BYTES])
        end = part.find(b"\n")
        self._line += part if end < 0 else part[: end + 1]
        if len(self._line) > _LINE_BYTES:
            raise ValueError("a chunk's size is too long")
        if end < 0:
            return at + len(part)
        line, self._line = bytes(self._line), bytearray()
        if not line.endswith(b"\r\n"):
            raise ValueError("a line of a chunked body doesn't end with CRLF")
        self._take_line(line[:-2])
        return at + end + 1

    def _size_line(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise ValueError("a chunk's size is no hexadecimal number")
        self._left = int(digits, 16)
        if not self._left:
            self._take_line = self._trailer_line

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise ValueError("a chunk is longer than it said")
        self._take_line = self._size_line

    def _trailer_line(self, line: bytes) -> None:
        self._trailers += 1
        if self._trailers > _TRAILER_LINES:
            raise ValueError("too many trailers")
        self._whole = not line
