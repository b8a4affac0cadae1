"""/probe beside the real blackbox_exporter, checked by promtool, scraped by Debian's Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import aiohttp
import pytest
import yaml

from ots.server.peers.process import Peers
from tests.cloud_kit import ROOT
from tests.peers.process import end, free_port, running
from tests.peers.require import require
from tests.peers.unbound import Unbound

pytestmark = pytest.mark.slow

_MODULES = """\
modules:
  http_2xx:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
  http_404:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      valid_status_codes: [404]
  tcp_connect:
    prober: tcp
    timeout: 2s
    tcp:
      preferred_ip_protocol: ip4
  icmp:
    prober: icmp
    timeout: 2s
    icmp:
      preferred_ip_protocol: ip4
"""
_LOOKUPS: dict[str, dict[str, Any]] = {
    "dns_a": {"query_name": "many.ots.test", "query_type": "A"},
    "dns_tcp": {"query_name": "many.ots.test", "query_type": "A", "transport_protocol": "tcp"},
    "dns_truncated": {"query_name": "long.ots.test", "query_type": "TXT"},
    "dns_long": {"query_name": "long.ots.test", "query_type": "TXT", "transport_protocol": "tcp"},
    "dns_serial": {"query_name": "ots.test", "query_type": "SOA"},
    "dns_any": {"query_name": "www.ots.test"},
    "dns_no_recursion": {"query_name": "mail.ots.test", "query_type": "A", "recursion_desired": False},
    "dns_nodata": {"query_name": "four.ots.test", "query_type": "AAAA"},
    "dns_nxdomain": {"query_name": "no.ots.test", "query_type": "A"},
    "dns_wants_nxdomain": {"query_name": "no.ots.test", "query_type": "A", "valid_rcodes": ["NXDOMAIN"]},
    "dns_refused": {"query_name": "x.refused.test", "query_type": "A"},
    "dns_servfail": {"query_name": "x.servfail.test", "query_type": "A"},
    "dns_silent": {"query_name": "x.silent.test", "query_type": "A"},
    **{
        f"dns_{rule}_{number}": {
            "query_name": name,
            "query_type": "A",
            "validate_answer_rrs": {rule: patterns},
        }
        for rule in (
            "fail_if_matches_regexp",
            "fail_if_all_match_regexp",
            "fail_if_not_matches_regexp",
            "fail_if_none_matches_regexp",
        )
        for number, (name, *patterns) in enumerate(
            (
                ("many.ots.test", r"192\.0\.2\.[12]$"),
                ("many.ots.test", r"^many\.ots\.test\.\t60\tIN\tA\t192\.0\.2\.[123]$"),
                ("many.ots.test", "198"),
                ("many.ots.test", "198", r"2\.1$"),
                ("many.ots.test", "192", r"2\.\d$"),
                ("six.ots.test", "192"),
            )
        )
    },
}
"""Modules of the prober `dns`, by their names."""

_ALLOW = """\
allow:
  - {network: 127.0.0.0/8}
"""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prometheus")
    lookups = {
        name: {"prober": "dns", "timeout": "1s", "dns": {"preferred_ip_protocol": "ip4", **options}}
        for name, options in _LOOKUPS.items()
    }
    (folder / "blackbox.yml").write_text(_MODULES + indent(yaml.safe_dump(lookups), "  "))
    (folder / "allow.yml").write_text(_ALLOW)
    return folder


@pytest.fixture(scope="module")
def ours(configuration: Path) -> Iterator[str]:
    """`ots server probe` as a process."""
    process = subprocess.Popen(
        [sys.executable, "cli.py", "server", "probe", "--json", "--listen", "127.0.0.1:0"]
        + ["--config", str(configuration / "blackbox.yml"), "--allow", str(configuration / "allow.yml")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(30), "ots server probe says nothing"
        text = b""
        while b"}" not in text:
            text += os.read(process.stdout.fileno(), 65_536)
        yield json.loads(text)["url"]
    finally:
        end(process)
        process.stdout.close()


@pytest.fixture(scope="module")
def theirs(configuration: Path) -> Iterator[str]:
    """The real blackbox_exporter with the same file."""
    port = free_port()
    program = require("prometheus-blackbox-exporter")
    with running(
        [
            program,
            f"--config.file={configuration / 'blackbox.yml'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        port=port,
        folder=configuration,
    ):
        yield f"http://127.0.0.1:{port}"


async def _probe(base: str, **query: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{base}/probe", params=query) as response:
        return response.status, await response.text()


def _figures(text: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in re.findall(r"^(probe_[^ ]+) ([^ \n]+)$", text, re.MULTILINE)
    }


def _cases(peers: Peers) -> list[tuple[str, str]]:
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
    return [
        ("http_2xx", f"{peers.url}/"),
        ("http_2xx", f"{peers.url}/no/such/page"),
        ("http_404", f"{peers.url}/no/such/page"),
        ("tcp_connect", peers.authority("http")),
        ("tcp_connect", closed),
        ("icmp", "127.0.0.1"),
    ]


async def test_it_says_what_blackbox_exporter_says(ours: str, theirs: str, peers: Peers) -> None:
    for module, target in _cases(peers):
        (one, mine), (other, reference) = await asyncio.gather(
            _probe(ours, module=module, target=target), _probe(theirs, module=module, target=target)
        )
        assert one == other == 200, (module, target, mine)
        found, expected = _figures(mine), _figures(reference)
        for name in ("probe_success", "probe_http_status_code", "probe_http_redirects", "probe_ip_protocol"):
            assert found.get(name) == expected.get(name), (module, target, name, mine)
        assert set(expected) - set(found) <= {"probe_ssl_last_chain_expiry_timestamp_seconds"}, (
            module,
            target,
        )
        assert found["probe_duration_seconds"] < 1


@pytest.mark.parametrize("module", _LOOKUPS)
async def test_it_says_of_lookups_what_blackbox_exporter_says(
    ours: str, theirs: str, unbound: Unbound, module: str
) -> None:
    (one, mine), (other, reference) = await asyncio.gather(
        _probe(ours, module=module, target=unbound.address),
        _probe(theirs, module=module, target=unbound.address),
    )
    assert one == other == 200, mine
    found, expected = _figures(mine), _figures(reference)
    assert set(found) >= set(expected), mine
    times = {name for name in expected if "seconds" in name}
    for name in set(expected) - times:
        assert found[name] == expected[name], (name, mine)
    assert {"probe_success", "probe_dns_answer_rrs", "probe_dns_query_succeeded"} <= set(expected)
    # Of an address there is nothing to resolve, which is 0 s with us, as is a request without an answer.
    request = 'probe_dns_duration_seconds{phase="request"}'
    assert request in times and (found[request] > 0) == (expected["probe_dns_query_succeeded"] > 0), mine


async def test_a_resolver_that_is_not_there(ours: str, theirs: str) -> None:
    target = f"127.0.0.1:{free_port()}"
    for module in ("dns_a", "dns_tcp"):
        (_, mine), (_, reference) = await asyncio.gather(
            _probe(ours, module=module, target=target), _probe(theirs, module=module, target=target)
        )
        for name in ("probe_success", "probe_dns_query_succeeded"):
            assert _figures(mine)[name] == _figures(reference)[name] == 0, mine


async def test_promtool_has_nothing_to_complain_of(ours: str, peers: Peers) -> None:
    pages = [(await _probe(ours, module=module, target=target))[1] for module, target in _cases(peers)]
    async with aiohttp.ClientSession() as session, session.get(f"{ours}/metrics") as response:
        pages.append(await response.text())
    for page in pages:
        done = await asyncio.to_thread(_check, page)
        assert done.returncode == 0 and not done.stderr, done.stderr


def _check(page: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://169.254.169.254/latest/meta-data", 403),
        ("http://[::ffff:169.254.169.254]/", 403),
        ("http://0xa9fea9fe/", 403),
        ("http://10.0.0.1/", 403),
        ("http://user:secret@127.0.0.1/", 400),
        ("", 400),
    ],
)
async def test_what_no_list_allows_is_not_probed(ours: str, target: str, status: int) -> None:
    found, text = await _probe(ours, module="http_2xx", target=target)
    assert found == status and "secret" not in text, text


async def test_debians_prometheus_scrapes_it(ours: str, configuration: Path, peers: Peers) -> None:
    host = ours.removeprefix("http://")
    port = free_port()
    (configuration / "prometheus.yml").write_text(
        f"""\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: server
    static_configs: [{{targets: ["{host}"]}}]
  - job_name: blackbox
    metrics_path: /probe
    params: {{module: [http_2xx]}}
    static_configs: [{{targets: ["{peers.url}/"]}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: "{host}"}}
"""
    )
    checked = await asyncio.to_thread(
        subprocess.run,
        [require("promtool"), "check", "config", str(configuration / "prometheus.yml")],
        capture_output=True,
    )
    assert checked.returncode == 0, checked.stdout
    argv = [
        require("prometheus"),
        f"--config.file={configuration / 'prometheus.yml'}",
        f"--storage.tsdb.path={configuration / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(argv, port=port, folder=configuration):
        up = await _until_one(port, 'up{job="server"}')
        assert up == 1.0
        assert await _until_one(port, 'probe_success{job="blackbox"}') == 1.0


async def _until_one(port: int, query: str) -> float:
    """The value of a query once Prometheus has scraped it."""
    async with aiohttp.ClientSession() as session:
        for _ in range(150):
            url = f"http://127.0.0.1:{port}/api/v1/query"
            async with session.get(url, params={"query": query}) as response:
                answer: Any = await response.json() if response.status == 200 else None
            if answer and answer["data"]["result"]:
                return float(answer["data"]["result"][0]["value"][1])
            await asyncio.sleep(0.1)
    raise AssertionError(f"Prometheus has no {query}")
