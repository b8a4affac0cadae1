"""Content-Encoding undone piece by piece, so that little of a body is in memory at any time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

ACCEPTED = "gzip, deflate"

_PIECE = 1 << 16
"""Bytes that one step of decompression makes at most: a small piece can hold a very large one."""

_LAYERS = 3
"""Encodings upon each other that are undone; more than one is rare, and a chain multiplies."""


class BadEncoding(Exception):
    """The body is not what Content-Encoding says."""


class Decoder:
    """The decoded bytes of one body. An encoding that nobody knows leaves them as they are."""

    def __init__(self, encoding: str) -> None:
        names = [part.strip().lower() for part in encoding.split(",") if part.strip()]
        known = [name for name in names if name in ("gzip", "x-gzip", "deflate")]
        if len(known) > _LAYERS:
            raise BadEncoding(f"{len(known)} encodings upon each other")
        self._layers = [_Inflate(deflate=name == "deflate") for name in reversed(known)]

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What these bytes bring, in pieces of at most 64 KiB each."""
        yield from self._through(data, 0)

    def finish(self) -> None:
        """After the last byte: `BadEncoding` if a compressed stream is cut off."""
        if any(not layer.complete for layer in self._layers):
            raise BadEncoding("the compressed stream is cut off")

    def _through(self, data: bytes, layer: int) -> Iterator[bytes]:
        if layer == len(self._layers):
            yield data
            return
        for piece in self._layers[layer].pieces(data):
            yield from self._through(piece, layer + 1)


class _Inflate:
    """One layer of gzip or deflate. RFC 9110 section 8.4.1.2 means zlib's format by `deflate`; some servers
    send the bare stream, and the first two bytes tell which."""

    def __init__(self, *, deflate: bool) -> None:
        self._deflate = deflate
        self._stream = None if deflate else zlib.decompressobj(31)
        self._head = b""
        self._fed = False

    @property
    def complete(self) -> bool:
        """An empty body is whole: answers without content may name an encoding all the same."""
        return not self._fed or (self._stream is not None and self._stream.eof)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._fed = self._fed or bool(data)
        if self._stream is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, zlib_format = self._head, _is_zlib(self._head)
            self._stream = zlib.decompressobj(15 if zlib_format else -15)
        stream, left = self._stream, data
        while left and not stream.eof:
            try:
                piece = stream.decompress(left, _PIECE)
            except zlib.error as error:
                raise BadEncoding(str(error)) from None
            left = stream.unconsumed_tail
            if piece:
                yield piece


def _is_zlib(head: bytes) -> bool:
    """RFC 1950 section 2.2: method 8, and the two bytes are a multiple of 31."""
    return head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
