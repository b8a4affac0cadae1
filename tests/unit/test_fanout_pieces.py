"""The answer's parser, the statuses, the redirects and the deadlines of a fan-out."""

from __future__ import annotations

import random

import pytest

from ots.netio.fanout.response import Response
from ots.probe import Failed
from ots.probes._http_check_rules import redirected, request, shown, statuses
from ots.probes.http_check import HttpCheck

GRAMMAR = HttpCheck.targets

WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length:11 \r\n\r\nhello world",
}


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.parametrize("pieces", ["whole", "bytes", "random"])
def test_an_answer_is_the_same_however_it_is_cut(form: str, pieces: str) -> None:
    """Status, length and text don't depend on where TCP cut the stream; a text may lie across a cut."""
    data, dice = WHOLE[form], random.Random(form)
    answer = Response(max_bytes=11, text="lo wo")
    at = 0
    while at < len(data):
        assert not answer.complete
        size = {"whole": len(data), "bytes": 1, "random": dice.randint(1, 9)}[pieces]
        answer.feed(data[at : at + size])
        at += size
    assert (answer.complete, answer.status, answer.body, answer.found) == (True, 200, 11, True)


def test_without_a_length_the_end_is_the_end() -> None:
    """A body until the connection's end; 204, 304 and HEAD have none."""
    answer = Response(max_bytes=10)
    answer.feed(b"HTTP/1.0 200 OK\r\n\r\nabc")
    assert not answer.complete
    answer.eof()
    assert (answer.complete, answer.body) == (True, 3)
    for status, head in ((b"204 No Content", False), (b"304 Not Modified", False), (b"200 OK", True)):
        answer = Response(max_bytes=10, head=head)
        answer.feed(b"HTTP/1.1 " + status + b"\r\nContent-Length: 99\r\n\r\n")
        assert (answer.complete, answer.body) == (True, 0)


def test_a_text_is_looked_for_in_the_charset_of_the_body() -> None:
    """GB 18030 and UTF-8 have different bytes for one text."""
    for charset in ("gb18030", "utf-8"):
        body = "你好，世界".encode(charset)
        answer = Response(max_bytes=100, text="世界")
        kind = f"Content-Type: text/html; charset={charset}\r\n"
        head = f"HTTP/1.1 200 OK\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        answer.feed(head.encode() + body)
        assert answer.found


def test_no_bytes_make_it_fail_otherwise() -> None:
    """Whatever arrives, the parser takes it or says Failed."""
    dice = random.Random(13)
    for _ in range(300):
        data = bytearray(dice.choice(list(WHOLE.values())))
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.choice(b"\r\n :0aF\xff;,")
        answer = Response(max_bytes=1000, text="x")
        try:
            answer.feed(bytes(data))
            if not answer.complete:
                answer.eof()
        except Failed as failure:
            assert failure.error.class_ in ("protocol", "cutoff", "content")


def test_statuses_are_named_by_number_class_and_range() -> None:
    """And nothing else is one."""
    assert statuses("200, 3xx,404-405") == {200, *range(300, 400), 404, 405}
    for wrong in ("", "20", "6xx", "404-400", "abc", "200-"):
        with pytest.raises(ValueError, match="is no status|ends before"):
            statuses(wrong)


def test_where_a_redirect_leads() -> None:
    """Relative and absolute; nothing that breaks a request line, no other scheme, no user."""
    base = GRAMMAR.parse("http://a.example:8080/x/y?q=secret")
    for place, expected in (
        ("z", "http://a.example:8080/x/z"),
        ("/z", "http://a.example:8080/z"),
        ("//b.example/z", "http://b.example:80/z"),
        ("https://b.example", "https://b.example:443/"),
        ("/ä b", "http://a.example:8080/%C3%A4%20b"),
    ):
        assert shown(redirected(base, place, 302, GRAMMAR)) == expected
    for wrong in (None, "", "ftp://b/", "http://u@b.example/", "http://[::1/", "javascript:1"):
        with pytest.raises(Failed):
            redirected(base, wrong, 302, GRAMMAR)
    assert shown(base) == "http://a.example:8080/x/y"


def test_a_request_is_one_line_and_its_fields() -> None:
    """Nothing in a URL can add a field; the default port is left out."""
    text = request(GRAMMAR.parse("http://[2001:db8::1]:80/a?b=ö"), "GET", "ots").decode("ascii")
    assert text.startswith("GET /a?b=%C3%B6 HTTP/1.1\r\nHost: [2001:db8::1]\r\n")
    assert text.endswith("Connection: close\r\n\r\n")
    assert "Host: a.example:81\r\n" in request(GRAMMAR.parse("https://a.example:81/"), "GET", "x").decode()
