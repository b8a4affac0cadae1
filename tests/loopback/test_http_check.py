"""http_check against nginx and caddy: phases, rules, redirects, TLS, and many targets at once."""

from __future__ import annotations

import asyncio

import pytest

from ots.probes.http_check import HttpCheck
from ots.probes.tcp_connect import TcpConnect
from ots.server.peers.process import Peers
from tests.faults.scripted_server import request, scripted
from tests.peers.authority import Authority
from tests.peers.caddy import Caddy
from tests.peers.nginx import Nginx
from tests.peers.process import has_ipv6
from tests.recording import Recording, record

CHECK = HttpCheck()


def code(made: Recording) -> str | None:
    error = made.only.error
    return None if error is None else f"{error.class_} {error.code}"


async def test_every_phase_is_stamped(nginx: Nginx, ca: Authority) -> None:
    """Name, connect, TLS, request, first and last byte, in this order; the certificate's days are counted."""
    url = f"https://localhost:{nginx.tls_port}/1m"
    made = await record(CHECK, url, {"ca_file": str(ca.root), "family": "4", "max_bytes": 2_000_000})
    assert made.only.error is None
    stamps = made.only.triggers
    names = ["connect_start", "connected", "tls_done", "request_sent", "first_byte", "last_byte"]
    times = [stamps[name] for name in names]
    assert times == sorted(times)
    (whole,) = made.only.values("http_check_seconds")
    assert isinstance(whole, float)
    parts = ("http_check_resolve", "tcp_connect", "tls_handshake", "http_check_wait", "http_check_receive")
    values = [made.only.values(f"{part}_seconds") for part in parts]
    assert all(len(value) == 1 for value in values)
    assert sum(float(str(value[0])) for value in values) <= whole + 0.001
    assert made.only.values("http_check_body_bytes") == [1_000_000]
    (days,) = made.only.values("tls_certificate_days_left")
    assert isinstance(days, float) and days > 1


async def test_a_second_server_agrees(caddy: Caddy, ca: Authority) -> None:
    """caddy: plain and TLS."""
    for url in (f"{caddy.url}/1k", f"{caddy.tls_url}/1k"):
        made = await record(CHECK, url, {"ca_file": str(ca.root)})
        assert code(made) is None
        assert made.only.values("http_check_status_code") == ["200"]


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/", {"expect_text": "nginx says hello"}, None),
        ("/", {"expect_text": "nginx says goodbye"}, "content TEXT"),
        ("/1k", {"method": "HEAD"}, None),
        ("/1k", {"max_bytes": 999}, "content TOO_LARGE"),
        ("/1k", {"max_bytes": 1000}, None),
        ("/no-length", {}, None),
        ("/status/404", {}, "rejected 404"),
        ("/status/401", {}, "auth 401"),
        ("/status/404", {"expect_status": "404"}, None),
        ("/status/404", {"expect_status": "2xx, 400-404"}, None),
        ("/1k", {"expect_status": "404"}, "content 200"),
        ("/redirect", {}, None),
        ("/redirect", {"max_redirects": 0}, "content 302"),
        ("/redirect", {"max_redirects": 0, "expect_status": "302"}, None),
        ("/redirect-loop", {}, "rejected TOO_MANY_REDIRECTS"),
    ],
)
async def test_rules(nginx: Nginx, path: str, params: dict[str, object], expected: str | None) -> None:
    """Status, text, size and redirects decide whether a check passed."""
    made = await record(CHECK, nginx.url + path, params)
    assert code(made) == expected
    if path == "/redirect" and expected is None and "max_redirects" not in params:
        assert made.only.values("http_check_redirects") == [1]
        assert made.only.values("http_check_body_bytes") == [1000]


@pytest.mark.parametrize(
    ("password", "expected"), [("hunter2", None), ("hunter3", "auth 401"), (None, "auth 401")]
)
async def test_a_user_logs_in(nginx: Nginx, password: str | None, expected: str | None) -> None:
    """HTTP Basic; the password is a secret, and stands nowhere in what is recorded."""
    params = {"user": "ann", **({"password": "${secret:web}"} if password else {})}
    made = await record(CHECK, f"{nginx.url}/private/1k", params, secrets={"${secret:web}": password or ""})
    assert code(made) == expected
    assert "hunter" not in str(made.only) + str(made.metrics())


async def test_the_password_stays_where_it_was_meant_for() -> None:
    """The same server's redirect takes it along, one to another server doesn't."""
    heard: list[bytes] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def moves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await request(reader))
        place = "/second" if len(heard) == 1 else f"{elsewhere.url}/"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())

    async with scripted(answers) as elsewhere, scripted(moves) as server:
        secrets = {"${secret:web}": "hunter2"}
        made = await record(
            CHECK, f"{server.url}/", {"user": "ann", "password": "${secret:web}"}, secrets=secrets
        )
    assert code(made) is None
    assert [b"Authorization: Basic YW5uOmh1bnRlcjI=\r\n" in each for each in heard] == [True, True, False]


async def test_both_families_and_a_source(nginx: Nginx) -> None:
    """IPv6 and a source address; a family that the target has not is a contradiction."""
    if has_ipv6():
        made = await record(CHECK, f"http://[::1]:{nginx.port}/1k")
        assert made.only.method["family"] == "6"
    made = await record(CHECK, f"{nginx.url}/1k?from", {"source": "127.0.0.9"})
    assert code(made) is None
    assert [entry["from"] for entry in nginx.access("/1k?from")] == ["127.0.0.9"]
    made = await record(CHECK, f"{nginx.url}/1k", {"family": "6"})
    assert code(made) == "config FAMILY"


async def test_many_targets_are_one_figure(nginx: Nginx) -> None:
    """Beyond fifty targets there is one metric and one series of all; each attempt tells its own failure."""
    urls = [f"{nginx.url}/1k?{n}" for n in range(300)]
    urls[7], urls[8] = f"{nginx.url}/status/503", "http://no-such-name.invalid/"
    made = await record(CHECK, urls)
    assert [attempt.error is None for attempt in made.attempts].count(False) == 2
    rejected, unknown = made.of(urls[7]).error, made.of(urls[8]).error
    assert rejected is not None and (rejected.class_, rejected.code) == ("rejected", "503")
    assert unknown is not None and unknown.class_ == "dns"
    ratio = made.metric("http_check_failure_ratio")
    assert (ratio.labels, ratio.n, ratio.stats["value"]) == ({}, 300, 2 / 300)
    assert made.metric("http_check_seconds").n_valid == 298


async def test_few_targets_have_their_own_figures(nginx: Nginx, peers: Peers) -> None:
    """Up to fifty, every target has its metrics and its trigger points."""
    urls = [f"{nginx.url}/1k", f"{peers.url}/pages/"]
    made = await record(CHECK, urls)
    labels = [metric.labels for metric in made.metrics() if metric.key == "http_check_seconds"]
    assert labels == [{"target": url} for url in urls]
    assert all("last_byte" in attempt.triggers for attempt in made.attempts)


async def test_a_large_body_is_read_to_its_end_and_lets_others_pass(nginx: Nginx) -> None:
    """256 MB take many turns; who is asked at the same time has its answer long before they are over."""
    urls = [f"{nginx.url}/big", f"{nginx.url}/1k"]
    made = await record(CHECK, urls, {"max_bytes": 300_000_000})
    assert made.of(urls[0]).values("http_check_body_bytes") == [256_000_000]
    large, small = (made.of(url).triggers for url in urls)
    assert small["last_byte"] < large["last_byte"]


async def test_starts_are_spread(nginx: Nginx) -> None:
    """`spread` says over which time the checks begin, evenly."""
    urls = [f"{nginx.url}/1k?{n}" for n in range(11)]
    made = await record(CHECK, urls, {"spread": 1.1})
    starts = sorted(attempt.triggers["connect_start"] for attempt in made.attempts)
    gaps = [after - before for before, after in zip(starts, starts[1:], strict=False)]
    assert 0.9 < starts[-1] - starts[0] < 1.3
    assert max(gaps) < 0.3


async def test_tcp_connect_takes_many_at_once(nginx: Nginx) -> None:
    """Each target has all its samples, side by side: together they take little longer than one does."""
    targets = [f"127.0.0.{1 + n}:{nginx.port if n == 0 else 1}" for n in range(20)]
    start = asyncio.get_running_loop().time()
    made = await record(TcpConnect(), targets, {"count": 3, "interval": 0.1})
    assert asyncio.get_running_loop().time() - start < 1.5
    assert [attempt.error is None for attempt in made.attempts] == [True] + [False] * 19
    assert made.of(targets[0]).values("port_state") == ["open"] * 3
    assert all(made.of(target).values("port_state") == ["closed"] * 3 for target in targets[1:])
