"""What a page load is made of: resources in HTML and CSS, encodings, charsets, reach, portals, timings."""

from __future__ import annotations

import gzip
import os
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from ots.netio.web.archive import shown
from ots.netio.web.charset import text_of
from ots.netio.web.decoding import BadEncoding, Decoder
from ots.netio.web.portal import leads_away
from ots.netio.web.reach import Reach, is_public
from ots.netio.web.resources import of_css, of_html
from ots.probe import Failed
from ots.probes._web_metrics import server_timing

PAGE = URL("http://www.example/a/b.html")

ELEMENTS = {
    '<img src="x.png">': [("http://www.example/a/x.png", "image")],
    "<IMG SRC=/x.png>": [("http://www.example/x.png", "image")],
    '<img src="x.png?a=1&amp;b=2#f">': [("http://www.example/a/x.png?a=1&b=2", "image")],
    '<img srcset="1.png 1x, 2.png 2x">': [("http://www.example/a/1.png", "image")],
    '<img src="//other.example/x">': [("http://other.example/x", "image")],
    '<script src="s.js"></script>': [("http://www.example/a/s.js", "script")],
    '<link rel="stylesheet" href="s.css">': [("http://www.example/a/s.css", "stylesheet")],
    '<link rel="alternate stylesheet" href="s.css">': [],
    '<link rel="icon" href="i.ico">': [],
    '<link rel="preload" as="font" href="f.woff">': [("http://www.example/a/f.woff", "other")],
    '<link rel="modulepreload" href="m.js">': [("http://www.example/a/m.js", "script")],
    '<video poster="p.jpg" src="never.mp4"></video>': [("http://www.example/a/p.jpg", "image")],
    '<input type="image" src="i.png">': [("http://www.example/a/i.png", "image")],
    '<svg><image xlink:href="i.svg"/></svg>': [("http://www.example/a/i.svg", "image")],
    "<p style='background:url(b.png)'>": [("http://www.example/a/b.png", "image")],
    "<style>p { background: url(b.png) }</style>": [("http://www.example/a/b.png", "image")],
    '<base href="http://cdn.example/"><img src="x">': [("http://cdn.example/x", "image")],
    '<img src="x"><img src="x">': [("http://www.example/a/x", "image")],
    '<img src="b.html">': [],
    '<iframe src="f.html"></iframe><a href="l.html"><img src="data:image/png,x">': [],
    "<title><img src=x></title><textarea><img src=x></textarea>": [],
    '<img src="http://user:secret@h.example/x">': [("http://h.example/x", "image")],
    "<img src='http://[::1/x'><img src='http://h:99999/'><img src='http://h:0/'>": [],
}


@pytest.mark.parametrize("text", ELEMENTS)
def test_what_an_element_names(text: str) -> None:
    """The address as a browser would make it, and as what it is wanted."""
    assert [(str(url), kind) for url, kind in of_html(text, PAGE, 100)] == ELEMENTS[text]


def test_what_a_style_sheet_names() -> None:
    """Imports first, of a font the first source, pictures; comments are none."""
    sheet = """@import url(one.css); @import "two.css" print;
    /* url(no.png) */ @font-face { src: local(x), url("f.woff2"), url(f.ttf) }
    p { background: URL( 'p.png' ) } q { background: url(p.png), url(data:x) }"""
    assert [(url.name, kind) for url, kind in of_css(sheet, PAGE, 100)] == [
        ("one.css", "stylesheet"),
        ("two.css", "stylesheet"),
        ("f.woff2", "other"),
        ("p.png", "image"),
    ]


def test_no_more_is_looked_for_than_is_wanted() -> None:
    """The limit holds in both."""
    assert len(of_html("".join(f"<img src={n}>" for n in range(100)), PAGE, 7)) == 7
    assert len(of_css("".join(f"p{{background:url({n})}}" for n in range(100)), PAGE, 7)) == 7


SLOW = {
    "open tags": "<img " * 75_000,
    "open quotes": "<img src='" * 25_000 + '"',
    "open comments": "<!--" * 75_000,
    "open styles": "<style>" * 50_000,
    "open style comments": "<style>" + "/*" * 125_000,
    "half functions": "<style>" + "url(" * 100_000,
    "half fonts": "<style>" + "@font-face{" * 25_000,
    "half imports": "<style>" + "@import " * 50_000,
    "spaces": "<img" + " " * 250_000,
    "equal signs": "<img a" + "=" * 250_000,
    "quotes in functions": "<style>" + "url('" * 75_000,
}


@pytest.mark.parametrize("kind", SLOW)
def test_nothing_takes_long(kind: str) -> None:
    """A quarter of a megabyte made for the purpose is looked through in less than two seconds."""
    start = time.process_time()
    of_html(SLOW[kind], PAGE, 1000)
    assert time.process_time() - start < 2


@given(st.text(alphabet=st.sampled_from(list("<>/=\"' !-abimgsrclinkstyeurl();@*\x00\ud800é")), max_size=300))
def test_any_text_has_resources_or_none(text: str) -> None:
    """No page makes it fail, or name more than may be asked for."""
    assert len(of_html(text, PAGE, 3)) <= 3
    assert len(of_css(text, PAGE, 3)) <= 3


CONTENT = os.urandom(3000) + bytes(100_000)


@pytest.mark.parametrize("piece", [1, 7, 4096])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "gzip, deflate", "identity", "br"])
def test_decoding(encoding: str, piece: int) -> None:
    """Whatever the pieces are; what nobody can undo stays as it is."""
    raw = zlib.compressobj(wbits=-15)
    data, said = {
        "gzip": (gzip.compress(CONTENT), "gzip"),
        "deflate": (zlib.compress(CONTENT), "deflate"),
        "raw deflate": (raw.compress(CONTENT) + raw.flush(), "deflate"),
        "gzip, deflate": (zlib.compress(gzip.compress(CONTENT)), "gzip, Deflate"),
        "identity": (CONTENT, ""),
        "br": (CONTENT, "br"),
    }[encoding]
    decoder = Decoder(said)
    parts = [part for n in range(0, len(data), piece) for part in decoder.decode(data[n : n + piece])]
    decoder.finish()
    assert b"".join(parts) == CONTENT
    assert max(map(len, parts)) <= 1 << 16


def test_a_cut_or_wrong_stream_is_said() -> None:
    """Half a stream, garbage, too many layers; an empty body is none of them."""
    decoder = Decoder("gzip")
    list(decoder.decode(gzip.compress(CONTENT)[:100]))
    with pytest.raises(BadEncoding):
        decoder.finish()
    with pytest.raises(BadEncoding):
        list(Decoder("gzip").decode(b"plain text"))
    with pytest.raises(BadEncoding):
        Decoder("gzip, gzip, gzip, gzip")
    Decoder("gzip").finish()


@pytest.mark.parametrize(
    ("body", "said", "text"),
    [
        ("网页".encode("gbk"), "text/html; charset=GB2312", None),
        ("网页".encode("gbk"), 'text/html; charset="gbk"', "网页"),
        ("<meta charset=gbk>网页".encode("gbk"), "text/html", "<meta charset=gbk>网页"),
        ("网页".encode(), "text/html; charset=klingon", "网页"),
        (b"\xef\xbb\xbf" + "网页".encode(), "text/html; charset=latin1", "网页"),
        ("网页".encode("utf-16"), "text/html", "网页"),
        ("é".encode("latin-1"), "text/html; charset=iso-8859-1", "é"),
        (b"caf\xe9", "text/html", "caf\ufffd"),
        (b"abc-", "text/html; charset=punycode", "abc-"),
    ],
)
def test_charsets(body: bytes, said: str, text: str | None) -> None:
    """Mark, header, meta element, UTF-8, in this order; what is no encoding of pages is passed over."""
    assert text is None or text_of(body, said) == text


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.1.2.3", False),
        ("64:ff9b::a01:203", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:a01:203::1", False),
        ("0.0.0.0", False),
    ],
)
def test_public_addresses(ip: str, public: bool) -> None:
    """An IPv4 address inside an IPv6 one counts for it."""
    assert is_public(ip) is public


def test_the_first_address_decides_where_a_page_may_lead() -> None:
    """From public to private is refused, everything else is not."""
    private = Reach()
    for ip in ("10.1.1.1", "93.184.216.34", "192.168.1.1"):
        private.check("h", ip)
    public = Reach()
    public.check("h", "93.184.216.34")
    with pytest.raises(Failed) as refused:
        public.check("h", "192.168.1.1")
    assert refused.value.error.code == "PRIVATE_ADDRESS"


@pytest.mark.parametrize(
    ("page", "place", "away"),
    [
        ("http://example.org/", "https://www.example.org/", False),
        ("http://www.example.org/", "https://example.org/en", False),
        ("http://www.example.org/", "http://m.example.org/", False),
        ("http://example.org/", "http://login.hotel.example/", True),
        ("http://example.org/", "http://example.org.evil.example/", True),
        ("http://example.org/", "http://notexample.org/", True),
        ("http://example.org/", "http://192.168.1.1/", True),
        ("http://10.0.0.1/", "http://10.0.0.1:8080/", False),
        ("http://1.10.0.0.1/", "http://10.0.0.1/", True),
        ("http://intranet/", "http://org/", True),
        ("http://example.org/", "http://shop.example.net/", False),
    ],
)
def test_what_another_site_is(page: str, place: str, away: bool) -> None:
    """Within a domain is the same site; example.net is allowed."""
    assert leads_away(URL(page), URL(place), ["example.net"]) is away


def test_server_timing() -> None:
    """Milliseconds become seconds; entries without a duration and nonsense are passed over."""
    field = 'miss, db;dur=53, app;desc="a, b;dur=9";dur=47.2, x;dur=-1, y;dur=nan, z;dur="2"'
    assert dict(server_timing(field)) == pytest.approx({"db": 0.053, "app": 0.0472, "z": 0.002})
    assert list(server_timing(",,,;;=")) == []


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://u:p@h/x?token=abc&y=1#f", "http://h/x?token=***&y=***#f"),
        ("http://h/x?a=1;b=2", "http://h/x?a=***;b=***"),
        ("http://h/x", "http://h/x"),
    ],
)
def test_addresses_in_reports_have_no_secrets(url: str, seen: str) -> None:
    """No user and no value of a query."""
    assert shown(URL(url)) == seen
