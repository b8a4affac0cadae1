"""The peers themselves: each is up, and does what its description says."""

from __future__ import annotations

import poplib
import smtplib
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from ots.server.peers.process import Peers
from tests.peers.authority import Authority
from tests.peers.caddy import Caddy
from tests.peers.nginx import Nginx
from tests.peers.unbound import Unbound

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def test_nginx_serves_files_of_the_promised_sizes(nginx: Nginx) -> None:
    """The files have the sizes that tests rely on."""
    for path, size in (("/1k", 1_000), ("/1m", 1_000_000), ("/big", 256_000_000)):
        with _open(urllib.request.Request(nginx.url + path, method="HEAD"), timeout=5) as answer:
            assert int(answer.headers["Content-Length"]) == size


@pytest.mark.parametrize("code", [404, 429, 503])
def test_nginx_answers_with_the_status_in_the_path(nginx: Nginx, code: int) -> None:
    """Error statuses come on demand."""
    with pytest.raises(urllib.error.HTTPError) as error:
        _open(f"{nginx.url}/status/{code}", timeout=5)
    assert error.value.code == code
    error.value.close()


def test_nginx_counts_what_it_received(nginx: Nginx) -> None:
    """An upload's size is counted where it arrives, in the answer and in the log."""
    body = b"x" * 3_000_000
    request = urllib.request.Request(f"{nginx.url}/upload?count", data=body, method="PUT")
    with _open(request, timeout=10) as answer:
        counted = int(answer.read())
    assert len(body) < counted < len(body) + 1_000
    assert nginx.access("/upload?count")[0]["received"] == counted


def test_nginx_keeps_what_it_stored(nginx: Nginx) -> None:
    """The body of a stored upload can be read afterwards."""
    request = urllib.request.Request(f"{nginx.url}/store", data=b"y" * 100_000, method="POST")
    with _open(request, timeout=10):
        pass
    stored = Path(str(nginx.access("/store")[0]["body"]))
    assert stored.read_bytes() == b"y" * 100_000


def test_nginx_and_caddy_speak_tls_with_the_sessions_authority(
    nginx: Nginx, caddy: Caddy, ca: Authority
) -> None:
    """Both certificates verify against the session's root, and against no other."""
    for port in (nginx.tls_port, caddy.tls_port):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            ca.trusting().wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            assert tls.version() == "TLSv1.3"
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def test_caddy_serves_files_and_statuses(caddy: Caddy) -> None:
    """The second HTTP server has the same paths."""
    with _open(f"{caddy.url}/redirect", timeout=5) as answer:
        assert len(answer.read()) == 1_000
    with pytest.raises(urllib.error.HTTPError) as error:
        _open(f"{caddy.url}/status/503", timeout=5)
    assert error.value.code == 503
    error.value.close()


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "count"),
    [
        ("www.ots.test", "A", "NOERROR", 1),
        ("www.ots.test", "AAAA", "NOERROR", 1),
        ("many.ots.test", "A", "NOERROR", 3),
        ("four.ots.test", "AAAA", "NOERROR", 0),
        ("nothing.ots.test", "A", "NXDOMAIN", 0),
        ("outside.example", "A", "NXDOMAIN", 0),
        ("x.refused.test", "A", "REFUSED", 0),
        ("x.servfail.test", "A", "SERVFAIL", 0),
        ("x.bogus.test", "A", "NOERROR", 0),
        ("7.2.0.192.in-addr.arpa", "PTR", "NOERROR", 1),
    ],
)
def test_unbound_answers_from_its_local_data(
    unbound: Unbound, name: str, kind: str, rcode: str, count: int
) -> None:
    """Every kind of answer that the probes must tell apart is there."""
    answer = dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", port=unbound.port, timeout=5)
    assert dns.rcode.to_text(answer.rcode()) == rcode
    assert sum(len(rrset) for rrset in answer.answer) == count


def test_unbound_truncates_what_does_not_fit_into_a_datagram(unbound: Unbound) -> None:
    """A long answer comes truncated over UDP and whole over TCP."""
    query = dns.message.make_query("long.ots.test", "TXT")
    short = dns.query.udp(query, "127.0.0.1", port=unbound.port, timeout=5)
    assert short.flags & dns.flags.TC
    whole = dns.query.tcp(query, "127.0.0.1", port=unbound.port, timeout=5)
    assert len(whole.answer[0]) == 20


def test_unbound_keeps_silent_where_it_should(unbound: Unbound) -> None:
    """A zone that is never answered makes a client wait until its timeout."""
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(
            dns.message.make_query("x.silent.test", "A"), "127.0.0.1", port=unbound.port, timeout=0.3
        )


def test_the_embedded_peers_answer(peers: Peers) -> None:
    """Our own peers serve HTTP, HTTPS by their certificate, DNS, and mail that is sent can be fetched."""
    with _open(f"{peers.url}/speed/down?bytes=1000", timeout=5) as answer:
        assert answer.status == 200
    context = ssl.create_default_context(cafile=peers.ca_file)
    with (
        socket.create_connection((peers.host, peers.ports["https"]), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=peers.host) as tls,
    ):
        assert tls.version() == "TLSv1.3"
    query = dns.message.make_query("www.ots.test", "A")
    assert dns.query.udp(query, peers.host, port=peers.ports["dns"], timeout=5).answer
    with smtplib.SMTP(peers.host, peers.ports["smtp"], timeout=5) as sender:
        sender.starttls(context=context)
        sender.login("anybody", "anything")
        sender.sendmail("a@ots.test", ["Box1@ots.test", "box2@ots.test"], "Subject: x\r\n\r\n.dot\r\n..\r\n")
    for name in ("box1", "box2"):
        reader = poplib.POP3(peers.host, peers.ports["pop3"], timeout=5)
        reader.user(name)
        reader.pass_("anything")
        assert reader.stat()[0] == 1
        assert reader.uidl()[1] != []
        _, lines, octets = reader.retr(1)
        assert lines[-2:] == [b".dot", b".."] and octets == sum(len(line) + 2 for line in lines)
        assert reader.top(1, 1)[1][-1] == b".dot"
        with pytest.raises(poplib.error_proto):
            reader.retr(2)
        reader.dele(1)
        assert reader.stat() == (0, 0)
        reader.rset()
        reader.dele(1)
        reader.quit()
        reader = poplib.POP3(peers.host, peers.ports["pop3"], timeout=5)
        reader.user(name)
        reader.pass_("anything")
        assert reader.stat() == (0, 0)
        reader.quit()
