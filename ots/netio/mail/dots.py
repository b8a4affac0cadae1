"""The end of a POP3 answer of many lines: a line with nothing but a dot (RFC 1939 section 3)."""

from __future__ import annotations

from typing import NamedTuple

_ENDS = (b"\n.\r\n", b"\n.\n")


class Piece(NamedTuple):
    """What a piece of the stream holds: content, and after the end what does not belong to it any more."""

    content: bytes
    rest: bytes | None = None


class Undotted:
    """Takes the dots away that were put before lines which begin with one, and finds the end.

    The pieces may be cut anywhere. A server that ends its lines with LF alone is understood as well.
    """

    def __init__(self) -> None:
        # The answer begins at the start of a line, as if one had ended just before.
        self._held = b"\n"
        self._begun = False

    def feed(self, piece: bytes) -> Piece:
        data = self._held + piece
        ends = [(place, end) for end in _ENDS if (place := data.find(end)) >= 0]
        if ends:
            place, end = min(ends)
            self._held = b""
            return Piece(self._content(data[: place + 1]), data[place + len(end) :])
        keep = next((n for n in (3, 2, 1) if data.endswith(_ENDS[0][:n])), 0)
        self._held = data[len(data) - keep :]
        return Piece(self._content(data[: len(data) - keep]))

    def _content(self, data: bytes) -> bytes:
        """The lines of `data` without the dots before them; the first line end is not the server's."""
        if not data:
            return b""
        plain = data.replace(b"\n.", b"\n")
        if self._begun:
            return plain
        self._begun = True
        return plain[1:]
