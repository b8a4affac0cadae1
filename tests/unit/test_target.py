"""Targets: what each grammar takes, and what it says about what it doesn't."""

from __future__ import annotations

import pytest

from ots.schema.target import TargetError, Targets

HOST = Targets(("host", "network"))
HOST_PORT = Targets(("host:port",))
URL = Targets(("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))


@pytest.mark.parametrize(
    ("grammar", "text", "host", "port"),
    [
        (HOST, "192.0.2.1", "192.0.2.1", None),
        (HOST, "2001:db8::1", "2001:db8::1", None),
        (HOST, "[2001:db8::1]", "2001:db8::1", None),
        (HOST, "fe80::1%eth0", "fe80::1%eth0", None),
        (HOST, "münchen.example", "xn--mnchen-3ya.example", None),
        (HOST_PORT, "www.example.org:443", "www.example.org", 443),
        (HOST_PORT, "[2001:db8::1]:443", "2001:db8::1", 443),
        (URL, "http://192.0.2.1", "192.0.2.1", 80),
        (URL, "HTTPS://WWW.Example.org:8443/a?b=c", "www.example.org", 8443),
        (URL, "http://me@[2001:db8::1]/", "2001:db8::1", 80),
    ],
)
def test_parses(grammar: Targets, text: str, host: str, port: int | None) -> None:
    """A right target gives its host and port, and keeps the text as written."""
    target = grammar.parse(text)
    assert (target.text, target.host, target.port) == (text, host, port)


def test_network_keeps_its_range() -> None:
    """A network is kept as one, also when written with host bits."""
    network = HOST.parse("192.0.2.5/28").network
    assert network is not None
    assert str(network) == "192.0.2.0/28"


def test_default_port_of_a_grammar() -> None:
    """A grammar with a default port needs none in the text."""
    assert Targets(("host:port",), default_port=53).parse("192.0.2.1").port == 53


@pytest.mark.parametrize(
    ("grammar", "text", "message"),
    [
        (HOST, "192.0.2.300", "'192.0.2.300' is no IPv4 address: four numbers from 0 to 255"),
        (HOST, "192.0.2.1:80", "'192.0.2.1:80' has a port, and this probe takes none: write 192.0.2.1"),
        (HOST, "a b", "'a b' is no target: expected host or network (192.0.2.0/28)"),
        (HOST, "", "'' is no target: expected host or network (192.0.2.0/28)"),
        (HOST, "a..b", "'a..b' is no host name"),
        (HOST, "-x", "'-x' is no host name: letters, digits and hyphens between dots"),
        (HOST, "192.0.2.0/99", "'192.0.2.0/99' is no network: write 192.0.2.0/28 or 2001:db8::/120"),
        (HOST, "x" * 3000, "a target has at most 2048 characters, not 3000"),
        (HOST, "http://h/", "'http://h/' is a URL: expected host or network (192.0.2.0/28)"),
        (HOST_PORT, "h", "'h' has no port: write h:443"),
        (HOST_PORT, "h:0", "'h:0': port 0 is not between 1 and 65535"),
        (HOST_PORT, "h:70000", "'h:70000': port 70000 is not between 1 and 65535"),
        (
            HOST_PORT,
            "2001:db8::1:443",
            "'2001:db8::1:443' is no host:port (an IPv6 address stands in brackets: [2001:db8::1]:443)",
        ),
        (URL, "192.0.2.1", "'192.0.2.1' is no URL: expected http:// or https:// URL"),
        (URL, "ftp://h/", "'ftp://h/': scheme 'ftp' is not http:// or https:// URL"),
        (URL, "http://:80/", "'http://:80/' has no host: write http://HOST/"),
        (URL, "http://h:0/", "'http://h:0/': port 0 is not between 1 and 65535"),
        (URL, "http://[::1", "'http://[::1' is no URL: check host and port"),
    ],
)
def test_refuses(grammar: Targets, text: str, message: str) -> None:
    """A wrong target is refused with what would be right."""
    with pytest.raises(TargetError) as caught:
        grammar.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "http://me:hunter2@h/",
        "http://me:hun/ter2@h/",
        "http://me:hun@ter2@h/",
        "http://me:hunter2@h:99999/",
        "http://me:hunter2@h /",
        "ftp://me:hunter2@h/",
        "http://:hunter2@h/",
    ],
)
@pytest.mark.parametrize("grammar", [URL, HOST, HOST_PORT])
def test_a_password_is_refused_and_never_shown(grammar: Targets, text: str) -> None:
    """No message repeats a password, however oddly the URL is written."""
    with pytest.raises(TargetError) as caught:
        grammar.parse(text)
    assert "ter2" not in str(caught.value)
