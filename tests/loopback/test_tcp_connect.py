"""tcp_connect against nginx and Caddy, and side by side with curl."""

from __future__ import annotations

import asyncio
import socket

from ots.probes.tcp_connect import TcpConnect
from tests.comparison import CONNECT_TOLERANCE_SECONDS, TRIES, curl_phases, disagreement
from tests.hostile import deaf_port
from tests.peers.caddy import Caddy
from tests.peers.nginx import Nginx
from tests.peers.process import free_port, has_ipv6
from tests.peers.require import not_applicable, require
from tests.recording import record

QUICK = {"count": 10, "interval": 0.005}


async def test_an_open_port_is_open_and_near(nginx: Nginx) -> None:
    """Every connection counts, none was sent twice, the kernel's stamps were used."""
    recording = await record(TcpConnect(), f"localhost:{nginx.port}", {**QUICK, "family": "4"})
    assert recording.only.error is None
    times = recording.metric("tcp_connect_seconds")
    assert (times.n, times.n_valid, times.n_lost) == (10, 10, 0)
    assert isinstance(times.stats["median"], float)
    assert 0 < times.stats["median"] < 0.05
    assert recording.metric("tcp_syn_retransmits").stats == {"sum": 0, "max": 0}
    assert recording.metric("port_state").stats["histogram"] == {"open": 10}
    assert recording.metric("connect_failure_ratio").stats["value"] == 0
    assert times.method == {"address": "127.0.0.1", "family": "4", "stamps": "kernel"}
    assert {"resolve_start", "resolved", "connect_start", "connected"} <= set(recording.only.triggers)


async def test_a_closed_port_is_refused(nginx: Nginx) -> None:
    """A reset is an answer: closed, class refused, and every connection failed."""
    recording = await record(TcpConnect(), f"127.0.0.1:{free_port()}", QUICK)
    error = recording.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("refused", "connect", "ECONNREFUSED")
    assert recording.metric("port_state").stats["histogram"] == {"closed": 10}
    assert recording.metric("connect_failure_ratio").stats["value"] == 1
    assert recording.metric("tcp_connect_seconds").nulls["stats.median"] == "loss"


async def test_ipv6_is_measured_by_itself(nginx: Nginx) -> None:
    """`family: 6` takes ::1, and no other family stands in for it."""
    if not has_ipv6():
        not_applicable("this machine has no IPv6")
    recording = await record(TcpConnect(), f"[::1]:{nginx.port}", {**QUICK, "family": "6"})
    assert recording.only.error is None
    assert recording.only.method["address"] == "::1"


async def test_it_goes_out_by_interface_and_source() -> None:
    """The listener sees the source address that was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        params = {"count": 1, "source": "127.0.0.6", "interface": "lo"}
        recording = await record(TcpConnect(), f"127.0.0.1:{port}", params)
        assert recording.only.error is None
        connection, peer = server.accept()
        connection.close()
        assert peer[0] == "127.0.0.6"


async def test_connects_agree_with_curl(nginx: Nginx, caddy: Caddy) -> None:
    """31 connections each, taken in turn, against both servers: within `CONNECT_TOLERANCE_SECONDS`."""
    curl = require("curl")
    for port in (nginx.port, caddy.port):
        ours, theirs = [], []
        for _ in range(TRIES):
            recording = await record(TcpConnect(), f"127.0.0.1:{port}", {"count": 1})
            ours.append(float(str(recording.only.values("tcp_connect_seconds")[0])))
            theirs.append(curl_phases(curl, f"http://127.0.0.1:{port}/1k")[0])
        assert not disagreement(ours, theirs, CONNECT_TOLERANCE_SECONDS)


async def test_a_lost_syn_costs_us_and_curl_a_second() -> None:
    """The first SYN is dropped, its repetition heard: both clients say about 1 s, and we say why."""
    curl = require("curl")

    async def ours(port: int) -> float:
        recording = await record(TcpConnect(), f"127.0.0.1:{port}", {"count": 1, "timeout": 4.0})
        assert recording.metric("tcp_syn_retransmits").stats["sum"] == 1
        assert recording.only.method["stamps"] == "user"
        return float(str(recording.only.values("tcp_connect_seconds")[0]))

    async def theirs(port: int) -> float:
        return (await asyncio.to_thread(curl_phases, curl, f"http://127.0.0.1:{port}/"))[0]

    seconds = []
    for client in (ours, theirs):
        with deaf_port() as port:
            asyncio.get_running_loop().call_later(0.3, port.hear)
            seconds.append(await client(port.number))
    assert 1 <= seconds[0] < 1.2
    assert not disagreement(seconds[:1], seconds[1:], CONNECT_TOLERANCE_SECONDS)
