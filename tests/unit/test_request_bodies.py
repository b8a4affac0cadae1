"""Bodies and frames that are counted and dropped: the same count however the bytes are cut."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.server.peers.bodies import ChunkedBody, SizedBody
from ots.server.peers.doorway import Consumer
from ots.server.peers.frames import BINARY, CLOSE, PING, TEXT, Frames, accept_key, header


def feed(consumer: Consumer, data: bytes, cuts: list[int]) -> bytes | None:
    """What is left over when the consumer is through; None if it isn't."""
    at = 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        used = consumer(memoryview(data[at:cut]))
        if used is not None:
            return data[at + used :]
        at = cut
    return None


CUTS = st.lists(st.integers(0, 400), max_size=8)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), CUTS)
def test_chunks_are_counted(pieces: list[bytes], cuts: list[int]) -> None:
    """Content only, with extensions and trailers; what follows is left alone."""
    counted: list[int] = []
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    data += b"0\r\nTrailer: x\r\n\r\nGET /"
    assert feed(ChunkedBody(lambda _, size: counted.append(size)), data, cuts) == b"GET /"
    assert sum(counted) == sum(map(len, pieces))


@pytest.mark.parametrize(
    "data", [b"x\r\n", b"-1\r\n", b"\r\n", b"5\nhello", b"1\r\nab\r\n", b"f" * 16 + b"\r\n", b"a" * 300]
)
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    """At once, and without keeping it."""
    with pytest.raises(ValueError):
        ChunkedBody(lambda _, size: None)(memoryview(data))


def test_endless_trailers_are_refused() -> None:
    """A body may not go on for ever after its end."""
    with pytest.raises(ValueError):
        ChunkedBody(lambda _, size: None)(memoryview(b"0\r\n" + b"A: b\r\n" * 100))


@given(st.integers(1, 300), CUTS)
def test_a_sized_body_ends_with_its_last_byte(size: int, cuts: list[int]) -> None:
    counted: list[int] = []
    assert feed(SizedBody(size, lambda _, n: counted.append(n)), bytes(size) + b"next", cuts) == b"next"
    assert sum(counted) == size


def frame(opcode: int, content: bytes) -> bytes:
    """As a client sends it, masked."""
    plain, mask = header(opcode, len(content)), os.urandom(4)
    masked = bytes(byte ^ mask[k % 4] for k, byte in enumerate(content))
    return plain[:1] + bytes([plain[1] | 0x80]) + plain[2:] + mask + masked


@given(st.lists(st.sampled_from([0, 5, 125, 126, 700, 70_000]), max_size=4), CUTS)
def test_frames_are_counted(sizes: list[int], cuts: list[int]) -> None:
    """Content of messages; pings are unmasked, and a close is the end."""
    counted: list[int] = []
    pings: list[bytes] = []
    data = b"".join(frame(BINARY, bytes(size)) for size in sizes)
    data += frame(PING, b"hello") + frame(TEXT, b"{}") + frame(CLOSE, b"\x03\xe8") + b"!"
    assert feed(Frames(1 << 24, counted.append, pings.append), data, cuts) == b"!"
    assert sum(counted) == sum(sizes) + 2 and pings == [b"hello"]


@pytest.mark.parametrize(
    "data",
    [b"\x82\x05hello", b"\x88\xfe\x01\x00", b"\xc2\x81", b"\x82\xff" + b"\xff" * 8],
    ids=["unmasked", "long close", "reserved bit", "endless"],
)
def test_frames_that_no_client_may_send_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Frames(1 << 24, lambda size: None, lambda content: None)(memoryview(data + bytes(8)))


def test_the_handshake_is_answered_as_the_standard_has_it() -> None:
    """RFC 6455, section 1.3."""
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
