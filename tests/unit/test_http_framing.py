"""Where content lies in a body: whatever way the bytes are cut into reads, it comes out the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.http.dialer import _end_of_header
from ots.netio.http.framing import LARGE, Chunks, Framing, framing_of
from ots.probe import Failed


def wire(chunks: list[bytes], *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """The chunks as they go over the line."""
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return body + b"0\r\n" + trailer + b"\r\n"


def fed(framing: Framing, data: bytes, cuts: list[int]) -> bytes:
    """The content that comes out when the data arrive in pieces cut at these places."""
    content, start = b"", 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        for piece in framing.feed(memoryview(data[start:end])):
            content += piece
        start = end
    return content


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
    extension=st.sampled_from([b"", b";a=b", b" ; x"]),
    trailer=st.sampled_from([b"", b"Checksum: 1\r\n"]),
)
def test_chunks_come_out_whole_wherever_they_are_cut(
    chunks: list[bytes], cuts: list[int], extension: bytes, trailer: bytes
) -> None:
    """Content, overhead, and the end."""
    data, framing = wire(chunks, extension=extension, trailer=trailer), Chunks()
    assert fed(framing, data, cuts) == b"".join(chunks)
    assert framing.ended
    assert framing.overhead == len(data) - sum(map(len, chunks))
    assert framing.beyond == 0


@given(
    content=st.binary(max_size=60), more=st.binary(max_size=9), cuts=st.lists(st.integers(0, 99), max_size=5)
)
def test_a_length_ends_where_it_says(content: bytes, more: bytes, cuts: list[int]) -> None:
    """What comes behind it is no content, and is noticed."""
    framing = Framing(len(content))
    assert fed(framing, content + more, cuts) == content
    assert framing.ended
    assert framing.beyond == len(more)


def test_large_content_may_be_skipped_unseen() -> None:
    """Only the lines around a large chunk are read: so many bytes and a few more."""
    framing = Chunks()
    assert framing.feed(memoryview(b"%x\r\n" % (LARGE + 5))) == []
    assert framing.certain == LARGE + 5
    assert LARGE + 5 < framing.appetite < LARGE + 100
    framing.skip(LARGE)
    assert bytes(framing.feed(memoryview(b"abcde\r\n0\r\n\r\n"))[0]) == b"abcde"
    assert framing.ended


@pytest.mark.parametrize(
    "data",
    [b"zz\r\n", b"\r\n", b"-1\r\n", b"0x4\r\nabcd\r\n", b"4\r\nabcdX\r\n", b"f" * 16 + b"\r\n", b"1" * 9000],
)
def test_garbage_is_no_chunk(data: bytes) -> None:
    """Sizes that are none, a chunk that goes on behind its end, a line without end."""
    framing = Chunks()
    with pytest.raises(Failed) as caught:
        for start in range(0, len(data), 100):
            framing.feed(memoryview(data[start : start + 100]))
            framing.verify()
    assert (caught.value.error.class_, caught.value.error.code) == ("protocol", "BAD_CHUNK")


def test_an_end_too_early_is_a_cutoff() -> None:
    """With a length or chunks the connection may not end before the body; without them it is the end."""
    for framing in (Framing(10), Chunks()):
        with pytest.raises(Failed) as caught:
            framing.eof()
        assert caught.value.error.class_ == "cutoff"
    endless = framing_of({}, None)
    endless.feed(memoryview(b"abc"))
    endless.eof()
    assert endless.ended


def test_chunks_win_over_a_length() -> None:
    """RFC 9112 section 6.3; only the last coding counts."""
    assert isinstance(framing_of({"Transfer-Encoding": "Chunked"}, 5), Chunks)
    assert isinstance(framing_of({"Transfer-Encoding": "gzip, chunked"}, None), Chunks)
    assert not isinstance(framing_of({"Transfer-Encoding": "chunked, gzip"}, None), Chunks)


def test_interim_answers_belong_to_the_header() -> None:
    """Early hints, and a continue, before the answer itself."""
    hints, final = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert _end_of_header(hints) is None
    assert _end_of_header(hints + final[:-1]) is None
    assert _end_of_header(hints + final + b"body\r\n\r\n") == len(hints + final)
    assert _end_of_header(b"HTTP/1.1 200 OK\n\nbody") == len(b"HTTP/1.1 200 OK\n\n")
