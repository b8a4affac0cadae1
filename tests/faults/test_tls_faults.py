"""tls_handshake when the certificate is wrong, the peer isn't TLS, or breaks off."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ots.model.report import Error
from ots.probes.tls_handshake import TlsHandshake
from tests.hostile import close_early, deaf_port, reset, server_context, stay_silent, stream, talk_plainly
from tests.peers.authority import Authority
from tests.peers.nginx import Nginx
from tests.recording import Recording, record

QUICK = {"count": 2, "interval": 0.01, "timeout": 1.0}


async def handshake(port: int, **params: object) -> Recording:
    return await record(TlsHandshake(), f"127.0.0.1:{port}", {**QUICK, **params})


def failure(recording: Recording) -> Error:
    assert recording.only.error is not None
    assert recording.only.outcome == "failure"
    assert recording.metric("connect_failure_ratio").stats["value"] == 1
    assert recording.metric("tls_handshake_seconds").n_lost == 2
    return recording.only.error


@asynccontextmanager
async def serving(ca: Authority, *names: str, days: int = 100, newest: str = "1.3") -> AsyncIterator[int]:
    """A TLS server with a certificate for these names that ends in so many days."""
    end = datetime.now(UTC) + timedelta(days=days)
    context = server_context(ca.issuer.issue_cert(*names, not_after=end))
    if newest == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with stream(close_early, tls=context) as port:
        yield port


def verdicts(recording: Recording) -> tuple[object, object]:
    return (
        recording.metric("tls_chain_valid").stats["value"],
        recording.metric("tls_name_match").stats["value"],
    )


async def test_an_expired_certificate(ca: Authority) -> None:
    """The handshake fails, and the report says all the same when it ended and that the name was right."""
    async with serving(ca, "127.0.0.1", days=-3) as port:
        recording = await handshake(port, ca_file=str(ca.root))
    error = failure(recording)
    assert (error.class_, error.phase) == ("tls", "tls")
    assert error.code == "CERTIFICATE_VERIFY_FAILED: CERT_HAS_EXPIRED"
    assert verdicts(recording) == (False, True)
    days = recording.metric("tls_certificate_days_left").stats["value"]
    assert isinstance(days, float)
    assert -3.1 < days < -2.9


async def test_a_certificate_for_another_name(ca: Authority) -> None:
    """Chain and date are right, the name is not."""
    async with serving(ca, "other.ots.test") as port:
        by_name = await handshake(port, ca_file=str(ca.root), server_name="www.ots.test")
        by_address = await handshake(port, ca_file=str(ca.root))
    assert failure(by_name).code == "CERTIFICATE_VERIFY_FAILED: HOSTNAME_MISMATCH"
    assert failure(by_address).code == "CERTIFICATE_VERIFY_FAILED: IP_ADDRESS_MISMATCH"
    assert verdicts(by_name) == verdicts(by_address) == (True, False)


async def test_an_authority_that_nobody_knows(ca: Authority) -> None:
    """Without its root the chain leads nowhere; the system's authorities don't know it either."""
    async with serving(ca, "127.0.0.1") as port:
        recording = await handshake(port)
    assert failure(recording).code == "CERTIFICATE_VERIFY_FAILED: UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
    assert verdicts(recording) == (False, True)


async def test_no_common_version(ca: Authority) -> None:
    """The server's alert gives its number."""
    async with serving(ca, "127.0.0.1", newest="1.2") as port:
        recording = await handshake(port, ca_file=str(ca.root), min_version="1.3")
    assert failure(recording).class_ == "tls"
    assert failure(recording).code in ("TLS alert 70", "EOF")


async def test_nginx_says_which_alert(nginx: Nginx) -> None:
    """Without a common application protocol nginx sends alert 120 (RFC 7301)."""
    recording = await handshake(nginx.tls_port, ca_file=str(nginx.authority.root), alpn="acme-tls/1")
    error = failure(recording)
    assert (error.class_, error.code) == ("tls", "TLS alert 120")


async def test_plain_text_on_the_port(nginx: Nginx) -> None:
    """A web or mail server without TLS: its answer is not TLS, and the message says so."""
    async with stream(talk_plainly) as port:
        greeting = failure(await handshake(port))
    web = failure(await handshake(nginx.port))
    for error in (greeting, web):
        assert (error.class_, error.phase, error.code) == ("tls", "tls", "WRONG_VERSION_NUMBER")
        assert "not TLS" in error.message


async def test_a_reset_during_the_handshake() -> None:
    """The TCP connection was there: class tls, and the errno as its code."""
    async with stream(reset) as port:
        recording = await handshake(port)
    error = failure(recording)
    assert (error.class_, error.phase, error.code) == ("tls", "tls", "ECONNRESET")
    assert recording.metric("tcp_connect_seconds").n_valid == 2


async def test_an_end_during_the_handshake() -> None:
    """Closed in good order, but too early."""
    async with stream(close_early) as port:
        error = failure(await handshake(port))
    assert (error.class_, error.phase, error.code) == ("tls", "tls", "EOF")


async def test_silence_in_each_phase() -> None:
    """Whoever says nothing is a timeout, and the phase tells where."""
    with deaf_port() as port:
        began = time.monotonic()
        unconnected = failure(await handshake(port.number, timeout=0.2))
        assert time.monotonic() - began < 2
    assert (unconnected.class_, unconnected.phase) == ("timeout", "connect")
    async with stream(stay_silent) as port:
        speechless = failure(await handshake(port, timeout=0.2))
    assert (speechless.class_, speechless.phase) == ("timeout", "tls")


async def test_files_of_authorities_that_are_none(tmp_path: Path) -> None:
    """Absent or not PEM: a mistake of the case, with its remedy, before any connection."""
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    for path in (garbage, garbage.with_name("absent.pem")):
        recording = await handshake(1, ca_file=str(path))
        error = recording.only.error
        assert error is not None
        assert error.class_ == "config"
        assert error.remedy
        assert recording.only.outcome == "invalid"


def test_versions_in_the_wrong_order_are_refused() -> None:
    """A mistake that shows before anything runs."""
    with pytest.raises(ValueError, match="above max_version"):
        TlsHandshake.Params(min_version="1.3", max_version="1.2")
