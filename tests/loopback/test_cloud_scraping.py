"""Beside the cloud server: its figures for whom they are meant, /probe, and the test server with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.command_line import CommandLine
from tests.peers.postgres import Postgres

pytestmark = pytest.mark.slow

Sample = tuple[str, frozenset[tuple[str, str]]]
_MODULES = """\
modules:
  tcp:
    prober: tcp
    timeout: 2s
    tcp: {preferred_ip_protocol: ip4}
"""
_ALLOW = "allow:\n  - {network: 127.0.0.0/8}\n"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def _figures(
    session: aiohttp.ClientSession, cloud: CloudServer, headers: Mapping[str, str] | None = None
) -> dict[Sample, float]:
    async with session.get(f"{cloud.url}/metrics", headers=headers) as response:
        assert response.status == 200
        text = await response.text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _by_process(found: dict[Sample, float], name: str, **labels: str) -> list[float]:
    """A figure of each process that has it."""
    wanted = frozenset(labels.items())
    return [value for (found_name, has), value in found.items() if found_name == name and wanted <= has]


async def test_the_figures_of_several_processes_stand_side_by_side(
    session: aiohttp.ClientSession, postgres: Postgres, tmp_path: Path
) -> None:
    with (
        postgres.database() as url,
        cloud_server(tmp_path, url, options=["--processes", "3", "--rates", "1000"]) as cloud,
    ):
        agent = HandAgent(cloud.url)
        assert (await agent.enrol(session, cloud.token("--tier", "default")))[0] == 201
        for number in range(24):
            # A connection of its own for each: they come to different processes.
            async with aiohttp.ClientSession() as other:
                await agent.upload(other, agent.report(seq=number))
                assert (await other.get(f"{cloud.url}/healthz")).status == 200
        found = await _figures(session, cloud)
    accepted = _by_process(found, "ots_server_reports_total", outcome="accepted")
    assert (len(accepted), sum(accepted)) == (3, 20)
    assert sum(_by_process(found, "ots_server_reports_rejected_total", reason="quota-exceeded")) == 4
    assert sum(_by_process(found, "ots_server_delivery_seconds_count")) == 20
    assert sum(_by_process(found, "ots_server_database_wait_seconds_count")) > 24
    assert len(_by_process(found, "process_resident_memory_bytes")) == 3
    assert [value for (name, has), value in found.items() if name == "ots_server_agents"] == [1]


async def test_figures_and_probes_are_for_whom_they_are_meant(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "modules.yml").write_text(_MODULES)
    (tmp_path / "allow.yml").write_text(_ALLOW)
    token = tmp_path / "token"
    token.write_text("a token for prometheus\n")
    token.chmod(0o600)
    options = ["--probe-config", str(tmp_path / "modules.yml"), "--probe-allow", str(tmp_path / "allow.yml")]
    options += ["--metrics-token-from", f"file:{token}", "--metrics-network", "127.0.0.0/8"]
    with cloud_server(tmp_path / "server", options=options) as cloud:
        right = {"Authorization": "Bearer a token for prometheus"}
        probe = f"/probe?module=tcp&target=127.0.0.1:{cloud.port}"
        for path in ("/metrics", probe):
            for headers, status in (({}, 401), ({"Authorization": "Bearer other"}, 401), (right, 200)):
                async with session.get(f"{cloud.url}{path}", headers=headers) as response:
                    assert response.status == status, path
                    text = await response.text()
        assert "probe_success 1.0" in text
        for target, status in (("192.0.2.1:80", 403), ("169.254.169.254:80", 403), ("", 400)):
            asked = {"module": "tcp", "target": target}
            async with session.get(f"{cloud.url}/probe", params=asked, headers=right) as response:
                assert response.status == status
        found = await _figures(session, cloud, right)
        assert sum(_by_process(found, "ots_server_probes_total", prober="tcp", result="success")) == 1


async def test_another_network_is_told_nothing(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    options = ["--metrics-network", "192.0.2.0/24", "--proxy", "127.0.0.1"]
    with cloud_server(tmp_path, options=options) as cloud:
        for address, status in (("192.0.2.9", 200), ("198.51.100.7", 403), ("::ffff:192.0.2.9", 200)):
            headers = {"X-Forwarded-For": address}
            async with session.get(f"{cloud.url}/metrics", headers=headers) as response:
                assert response.status == status, address
        async with session.get(f"{cloud.url}/metrics") as response:
            assert response.status == 403
        async with session.get(f"{cloud.url}/probe?target=127.0.0.1:80") as response:
            assert response.status == 404


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_the_test_server_beside_it_ends_with_it(
    session: aiohttp.ClientSession, tmp_path: Path, how: signal.Signals
) -> None:
    with cloud_server(tmp_path, options=["--peers", "127.0.0.1:0"]) as cloud:
        (peers,) = cloud.peers
        workers = psutil.Process(cloud.process.pid).children()
        assert len(workers) >= 2
        async with session.get(peers) as response:
            assert response.status == 200
        assert (await session.get(f"{cloud.url}/healthz")).status == 200
        cloud.process.send_signal(how)
        assert await asyncio.to_thread(cloud.process.wait, 20) is not None
        gone, alive = await asyncio.to_thread(psutil.wait_procs, workers, 10)
        assert len(gone) == len(workers) and not alive


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--probe-config", "setup.cfg"], "need each other"),
        (["--metrics-network", "here"], "here is no network"),
        (["--metrics-token-from", "hunter2"], "env:NAME or file:PATH"),
        (["--metrics-token-from", "env:NOT_SET"], "the variable NOT_SET is not set"),
        (["--probe-config", "setup.cfg", "--probe-allow", "setup.cfg"], "setup.cfg"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    done = CommandLine(tmp_path).run(
        "server", "run", "--data", str(tmp_path / "x"), "--listen", "127.0.0.1:0", *options
    )
    assert done.returncode not in (0, 1) and said in done.stderr, done.stderr
