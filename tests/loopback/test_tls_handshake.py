"""tls_handshake against nginx and Caddy, and side by side with curl."""

from __future__ import annotations

import pytest

from ots.probes.tls_handshake import TlsHandshake
from tests.comparison import TLS_TOLERANCE_SECONDS, TRIES, agrees, curl_phases
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


@pytest.mark.parametrize("server", ["nginx", "caddy"])
async def test_handshakes_agree_with_curl(server: str, request: pytest.FixtureRequest) -> None:
    """Medians of 31 handshakes each, taken in turn: TCP and TLS apart."""
    curl = require("curl")
    peer: Nginx | Caddy = request.getfixturevalue(server)
    root = str(peer.authority.root)
    connects, handshakes, their_connects, their_handshakes = [], [], [], []
    for _ in range(TRIES):
        recording = await handshake(peer.tls_port, ca_file=root, count=1)
        connects.append(float(str(recording.only.values("tcp_connect_seconds")[0])))
        handshakes.append(float(str(recording.only.values("tls_handshake_seconds")[0])))
        phases = curl_phases(curl, f"{peer.tls_url}/1k", "-4", "--cacert", root)
        their_connects.append(phases[0])
        their_handshakes.append(phases[1])
    assert not agrees(handshakes, their_handshakes, TLS_TOLERANCE_SECONDS)
    assert not agrees(connects, their_connects, 0.001)
