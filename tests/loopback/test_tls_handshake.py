"""tls_handshake against nginx and Caddy, and side by side with curl."""

from __future__ import annotations

import asyncio

import pytest

from ots.probes.tls_handshake import TlsHandshake
from tests.comparison import TLS_TOLERANCE_SECONDS, curl_phases, disagreement
from tests.hostile import distant
from tests.peers.caddy import Caddy
from tests.peers.nginx import Nginx
from tests.peers.require import require
from tests.recording import Recording, record

QUICK = {"count": 3, "interval": 0.01}


async def handshake(port: int, **params: object) -> Recording:
    return await record(TlsHandshake(), f"localhost:{port}", {**QUICK, "family": "4", **params})


async def test_a_handshake_is_told_in_full(nginx: Nginx) -> None:
    """Time, round trips, what was agreed, and the certificate, all from the handshakes that were timed."""
    recording = await handshake(nginx.tls_port, ca_file=str(nginx.authority.root), alpn="http/1.1")
    assert recording.only.error is None
    values = {metric.key: metric.stats for metric in recording.metrics()}
    median = values["tls_handshake_seconds"]["median"]
    assert isinstance(median, float)
    assert 0 < median < 0.5
    assert values["tls_handshake_rtts"]["value"] == 1
    assert values["tls_version"]["value"] == "TLSv1.3"
    assert str(values["tls_cipher"]["value"]).startswith("TLS_")
    assert values["tls_alpn"]["value"] == "http/1.1"
    assert values["tls_resumed"]["value"] is False
    assert values["tls_chain_valid"]["value"] is True
    assert values["tls_name_match"]["value"] is True
    assert values["connect_failure_ratio"]["value"] == 0
    assert str(values["tls_certificate_not_after_timestamp"]["value"]).endswith("Z")
    assert isinstance(values["tls_certificate_days_left"]["value"], float)
    assert {"tls_start", "tls_done"} <= set(recording.only.triggers)
    assert recording.only.method["server_name"] == "localhost"


async def test_tls_1_2_takes_two_round_trips(nginx: Nginx) -> None:
    """The flights are counted, whatever the version says."""
    recording = await handshake(nginx.tls_port, ca_file=str(nginx.authority.root), max_version="1.2")
    assert recording.only.error is None
    assert recording.metric("tls_version").stats["value"] == "TLSv1.2"
    assert recording.metric("tls_handshake_rtts").stats["value"] == 2


async def test_the_best_common_protocol_is_agreed_on(caddy: Caddy) -> None:
    """Caddy speaks h2; what isn't offered isn't agreed on."""
    root = str(caddy.authority.root)
    both = await handshake(caddy.tls_port, ca_file=root, alpn=["h2", "http/1.1"])
    assert both.metric("tls_alpn").stats["value"] == "h2"
    none = await handshake(caddy.tls_port, ca_file=root)
    assert none.only.error is None
    assert "tls_alpn" not in {metric.key for metric in none.metrics()}


async def test_without_verification_the_facts_are_told_all_the_same(nginx: Nginx) -> None:
    """An authority that nobody knows is no failure then, but it is said."""
    recording = await handshake(nginx.tls_port, verify=False)
    assert recording.only.error is None
    assert recording.metric("tls_chain_valid").stats["value"] is False
    assert recording.metric("tls_name_match").stats["value"] is True
    assert recording.metric("tls_handshake_seconds").n_valid == 3
    trusted = await handshake(nginx.tls_port, verify=False, ca_file=str(nginx.authority.root))
    assert trusted.metric("tls_chain_valid").stats["value"] is True


@pytest.mark.parametrize(("server", "version", "round_trips"), [("nginx", "1.3", 1), ("caddy", "1.2", 2)])
async def test_distant_handshakes_agree_with_curl(
    server: str, version: str, round_trips: int, request: pytest.FixtureRequest
) -> None:
    """A round trip of 80 ms: the handshake takes one or two of them for us and for curl, within a tenth."""
    curl = require("curl")
    peer: Nginx | Caddy = request.getfixturevalue(server)
    ours, theirs = [], []
    async with distant(peer.tls_port, 0.04) as port:
        for _ in range(7):
            recording = await handshake(port, verify=False, count=1, max_version=version)
            ours.append(float(str(recording.only.values("tls_handshake_seconds")[0])))
            options = ("-4", "-k", "--tls-max", version)
            phases = await asyncio.to_thread(curl_phases, curl, f"https://localhost:{port}/1k", *options)
            theirs.append(phases[1])
    assert 0.08 * round_trips <= min(ours)
    assert not disagreement(ours, theirs, TLS_TOLERANCE_SECONDS)
