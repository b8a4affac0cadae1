"""The words of IMAP and the dots of POP3, whatever a server makes of them and wherever a packet ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.mail import imap_words as words
from ots.netio.mail.dots import Undotted
from ots.probe import Failed

_LINES = st.lists(
    st.sampled_from([b"", b".", b"..", b".x", b"x.", b"\n", b"\r", b"text"]).map(lambda part: part * 2),
    max_size=8,
)


@given(lines=_LINES, end=st.sampled_from([b"\r\n", b"\n"]), rest=st.binary(max_size=8), data=st.data())
def test_dots_are_taken_away_however_the_stream_is_cut(
    lines: list[bytes], end: bytes, rest: bytes, data: st.DataObject
) -> None:
    """The content is what was sent before its dots were doubled, and what follows the end is given back."""
    content = b"".join(line.replace(b"\n", b"") + end for line in lines)
    stuffed = (b"\n" + content).replace(b"\n.", b"\n..")[1:]
    stream = stuffed + b"." + end + rest
    dots, got, left = Undotted(), b"", None
    while left is None:
        assert stream, "the end was not found"
        cut = data.draw(st.integers(1, len(stream)))
        piece, left = dots.feed(stream[:cut])
        got += piece
        stream = stream[cut:]
    assert got == content
    assert left + stream == rest


@given(st.text(max_size=200))
def test_no_line_of_a_server_is_too_strange(text: str) -> None:
    """Whatever stands in a line, reading it is quick and raises nothing."""
    for line in (text, f"* LIST {text}", f"* SEARCH {text}", f"* {text} EXISTS", f"* 1 FETCH ({text})"):
        words.capabilities(line)
        words.code_of(line)
        words.exists(line)
        words.numbers([line])
        words.sized([line])
        words.folders([line])


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_quoting_is_undone_by_unquoting(text: str) -> None:
    """What we send as a quoted string is the text again."""
    assert words.unquoted(words.quoted(text)) == text


@pytest.mark.parametrize("text", ["a\r\nDELE 1", "\0", "密码", "tab\t"])
def test_what_a_quoted_string_can_not_hold(text: str) -> None:
    """It is refused before it is sent."""
    with pytest.raises(Failed) as failed:
        words.quoted(text)
    assert failed.value.error.class_ == "config"


def test_folders_of_several_kinds_of_servers() -> None:
    """Spam first, by its mark or its name, Chinese too; what can't be opened or holds copies is left out."""
    lines = [
        '* LIST (\\HasNoChildren) "/" INBOX',
        '* LIST (\\HasNoChildren) "/" "Bills \\"2026\\""',
        '* LIST (\\Noselect \\HasChildren) "/" "[Gmail]"',
        '* LIST (\\All \\HasNoChildren) "/" "[Gmail]/All Mail"',
        '* LIST (\\Sent) "." Sent',
        '* LIST (\\HasNoChildren \\Junk) "/" "[Gmail]/Unwanted"',
        '* LIST () NIL "&V4NXPpCuTvY-"',
        '* list () "." INBOX.spam',
        "* LIST broken",
    ]
    assert words.folders(lines) == [
        ("[Gmail]/Unwanted", True),
        ("&V4NXPpCuTvY-", True),
        ("INBOX.spam", True),
        ('Bills "2026"', False),
    ]


def test_numbers_and_sizes() -> None:
    """SEARCH over several lines; FETCH in any order, with and without a size."""
    assert words.numbers(["* SEARCH 4 9", "* search", "* SEARCH 12 "]) == [4, 9, 12]
    lines = ["* 3 FETCH (RFC822.SIZE 44 UID 7)", "* 4 FETCH (FLAGS (\\Seen) UID 8)", "* 5 FETCH (FLAGS ())"]
    assert words.sized(lines) == [(7, 44), (8, None)]
    assert words.code_of("[ALREADYEXISTS x] y") == "ALREADYEXISTS"
    assert words.code_of("no [CODE]") == ""
