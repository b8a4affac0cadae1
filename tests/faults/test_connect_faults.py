"""Names and connections when nothing answers, nothing leads there, or this machine has nothing left."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ots.probe import Probe
from ots.probes.dns_lookup import DnsLookup
from ots.probes.tcp_connect import TcpConnect
from ots.probes.tls_handshake import TlsHandshake
from tests.hostile import datagrams, deaf_port, stay_silent, stream
from tests.peers.nginx import Nginx
from tests.peers.process import has_ipv6
from tests.peers.require import not_applicable, require
from tests.recording import record

ONCE = {"count": 1}


def in_name_space(preparation: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The attempt of a probe in a network and mount name space of its own, prepared by shell commands."""
    unshare = require("unshare")
    child = shlex.join([sys.executable, "-m", "tests.probe_child", json.dumps(spec)])
    result = subprocess.run(
        [unshare, "--net", "--mount", "sh", "-ec", f"ip link set lo up\n{preparation}\nexec {child}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def with_resolver(folder: Path, *servers: str) -> str:
    """Commands that make these servers the machine's DNS, inside the name space."""
    (folder / "resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    return "\n".join(f"mount --bind {folder / name} /etc/{name}" for name in ("resolv.conf", "hosts"))


async def test_a_port_that_drops_every_syn_is_filtered() -> None:
    """No answer within the timeout: class timeout, phase connect, and the SYNs sent again are counted."""
    with deaf_port() as port:
        began = time.monotonic()
        recording = await record(TcpConnect(), f"127.0.0.1:{port.number}", {**ONCE, "timeout": 1.3})
        assert 1.3 <= time.monotonic() - began < 3
    error = recording.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("timeout", "connect", "TIMEOUT")
    assert recording.metric("port_state").stats["histogram"] == {"filtered": 1}
    assert recording.metric("tcp_syn_retransmits").stats["sum"] == 1
    assert recording.metric("connect_failure_ratio").stats["value"] == 1
    assert "connect_start" in recording.only.triggers
    assert "connected" not in recording.only.triggers


@pytest.mark.netns
@pytest.mark.parametrize(
    ("route", "error_class", "code", "state"),
    [
        ("unreachable", "unreachable", "EHOSTUNREACH", "filtered"),
        ("prohibit", "unreachable", "EACCES", "filtered"),
        ("", "unreachable", "ENETUNREACH", None),
    ],
)
def test_a_network_that_no_route_leads_to(route: str, error_class: str, code: str, state: str | None) -> None:
    """What the kernel says of the way is class unreachable; prohibited counts as filtered."""
    preparation = f"ip route add {route} 192.0.2.0/24" if route else ":"
    spec = {"probe": "tcp_connect", "target": "192.0.2.1:80", "params": ONCE}
    attempt = in_name_space(preparation, spec)
    assert attempt["outcome"] == "failure"
    assert (attempt["error"]["class"], attempt["error"]["code"]) == (error_class, code)
    assert attempt["values"]["port_state"] == [state]


@pytest.mark.netns
def test_a_machine_without_the_address_family() -> None:
    """IPv6 switched off: the failure is the machine's way, with the family's errno, not a traceback."""
    preparation = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    spec = {"probe": "tcp_connect", "target": "[::1]:80", "params": {**ONCE, "family": "6"}}
    attempt = in_name_space(preparation, spec)
    assert attempt["outcome"] == "failure"
    assert attempt["error"]["class"] in ("unreachable", "connect")
    assert attempt["error"]["code"] in ("ENETUNREACH", "EADDRNOTAVAIL")


@pytest.mark.netns
@pytest.mark.parametrize(
    ("probe", "target"),
    [
        ("tcp_connect", "127.0.0.1:80"),
        ("tcp_connect", "[::1]:80"),
        ("http_check", "http://127.0.0.1/"),
        ("http_download", "http://127.0.0.1/"),
        ("ftp_upload", "ftp://127.0.0.1/"),
    ],
)
def test_a_machine_without_a_free_local_port(probe: str, target: str) -> None:
    """Our shortage, not the target's failure: class resource, no verdict on the target, and what to do."""
    preparation = "cd /proc/sys/net/ipv4; echo 40000 40001 > ip_local_port_range; "
    preparation += "echo 40000-40001 > ip_local_reserved_ports; cd - > /dev/null"
    attempt = in_name_space(preparation, {"probe": probe, "target": target, "params": {}})
    assert attempt["outcome"] == "invalid"
    error = attempt["error"]
    assert (error["class"], error["phase"], error["code"]) == ("resource", "connect", "EADDRNOTAVAIL")
    assert "ip_local_port_range" in error["remedy"]


@pytest.mark.netns
@pytest.mark.parametrize(
    ("host", "family", "error_class", "code"),
    [
        ("nobody.ots.test", "auto", "dns", "NXDOMAIN"),
        ("four.ots.test", "6", "dns", "NODATA"),
        ("six.ots.test", "4", "dns", "NODATA"),
        ("text.ots.test", "auto", "dns", "NODATA"),
        ("four.ots.test", "4", "refused", "ECONNREFUSED"),
    ],
)
def test_the_machines_resolver_says_no(
    tmp_path: Path, host: str, family: str, error_class: str, code: str
) -> None:
    """Unknown names and missing families through the real getaddrinfo, asked of a real DNS server."""
    params = {**ONCE, "family": family, "timeout": 10.0}
    spec = {"probe": "tcp_connect", "target": f"{host}:9", "params": params, "dns_port": 53}
    attempt = in_name_space(with_resolver(tmp_path, "127.0.0.1"), spec)
    assert (attempt["error"]["class"], attempt["error"]["code"]) == (error_class, code)
    assert attempt["error"]["phase"] == ("resolve" if error_class == "dns" else "connect")
    assert ("resolved" in attempt["triggers"]) == (error_class != "dns")


@pytest.mark.netns
def test_a_resolver_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    """Our own timer ends the wait, not the resolver's; and the process ends at once, lookup or not."""
    blackhole = with_resolver(tmp_path, "192.0.2.53") + "\nip route add 192.0.2.0/24 dev lo"
    spec = {"probe": "tcp_connect", "target": "www.ots.test:80", "params": {**ONCE, "timeout": 0.5}}
    began = time.monotonic()
    attempt = in_name_space(blackhole, spec)
    assert time.monotonic() - began < 5
    assert (attempt["error"]["class"], attempt["error"]["phase"]) == ("timeout", "resolve")


@pytest.mark.netns
def test_the_machines_first_server_is_the_default(tmp_path: Path) -> None:
    """dns_lookup without `server` asks whom resolv.conf names; without any it says what to do."""
    spec = {"probe": "dns_lookup", "target": "www.ots.test", "params": ONCE, "dns_port": 53}
    attempt = in_name_space(with_resolver(tmp_path, "127.0.0.1"), spec)
    assert attempt["outcome"] == "success"
    assert attempt["method"]["server"] == "127.0.0.1"
    other = in_name_space(
        with_resolver(tmp_path, "::1", "127.0.0.1"), {**spec, "params": {**ONCE, "family": "4"}}
    )
    assert other["method"]["server"] == "127.0.0.1"
    nobody = in_name_space(with_resolver(tmp_path), spec)
    assert (nobody["error"]["class"], nobody["error"]["code"]) == ("config", "NO_SERVER")
    assert nobody["error"]["remedy"]


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process can't open another file or socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("probe", [TcpConnect(), TlsHandshake(), DnsLookup()])
async def test_no_file_handle_left_is_our_shortage(probe: Probe, nginx: Nginx) -> None:
    """EMFILE says nothing of the target: class resource, invalid, in no ratio, and with a remedy."""
    target = "www.ots.test" if probe.kind == "dns_lookup" else f"127.0.0.1:{nginx.port}"
    params = {**ONCE, "server": "127.0.0.1"} if probe.kind == "dns_lookup" else ONCE
    with no_more_files():
        recording = await record(probe, target, params)
    error = recording.only.error
    assert error is not None
    assert (error.class_, error.code) == ("resource", "EMFILE")
    assert error.remedy
    assert recording.only.outcome == "invalid"
    ratio = next(metric for metric in recording.metrics() if metric.key.endswith("failure_ratio"))
    assert ratio.stats["value"] is None


def held() -> tuple[int, set[str]]:
    """Open files and unfinished tasks; a leak that only the collector closes warns, and that fails a test."""
    gc.collect()
    return psutil.Process().num_fds(), {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize("phase", ["connect", "tls", "udp", "tcp"])
async def test_a_cancel_in_any_phase_leaves_nothing_behind(phase: str) -> None:
    """Whatever was waited for, the socket is closed and no task goes on; what was recorded is kept."""
    before = held()
    async with stream(stay_silent) as silent, datagrams(lambda query: []) as (server, _):
        with deaf_port() as deaf:
            probe, target, where = {
                "connect": (TcpConnect(), f"127.0.0.1:{deaf.number}", {}),
                "tls": (TlsHandshake(), f"127.0.0.1:{silent}", {}),
                "udp": (DnsLookup(), "www.ots.test", {"server": server}),
                "tcp": (DnsLookup(), "www.ots.test", {"server": f"127.0.0.1:{silent}", "protocol": "tcp"}),
            }[phase]
            began = time.monotonic()
            recording = await record(probe, target, {**ONCE, "timeout": 30.0, **where}, cancel_after=0.1)
            assert time.monotonic() - began < 2
    assert recording.only.error is not None
    assert recording.only.error.class_ == "cancelled"
    recording.metrics()
    # Transports close in later turns of the loop.
    for _turn in range(100):
        if held() == before:
            break
        await asyncio.sleep(0)
    assert held() == before


async def test_ipv6_without_a_server_is_refused_like_ipv4() -> None:
    """The family is no reason for another class."""
    if not has_ipv6():
        not_applicable("this machine has no IPv6")
    recording = await record(TcpConnect(), "[::1]:9", {**ONCE, "family": "6"})
    assert recording.only.error is not None
    assert recording.only.error.class_ == "refused"
    assert recording.only.error.message.startswith("[::1]:9: ")
