"""From exceptions to error classes, from certificates to what they are worth, from samples to an attempt."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509

from ots.model.outcome import ErrorClass, Phase
from ots.netio.certificate import Certificates, days_left
from ots.netio.errors import classify, tls_code
from ots.netio.repetition import Samples
from ots.probe import Failed


@pytest.mark.parametrize(
    ("number", "phase", "expected"),
    [
        (errno.ECONNREFUSED, "connect", "refused"),
        (errno.ECONNREFUSED, "resolve", "refused"),
        (errno.ENETUNREACH, "connect", "unreachable"),
        (errno.EHOSTUNREACH, "transfer", "unreachable"),
        (errno.ENETDOWN, "connect", "unreachable"),
        (errno.EACCES, "connect", "unreachable"),
        (errno.EACCES, "config", "permission"),
        (errno.EPERM, "connect", "permission"),
        (errno.EMFILE, "connect", "resource"),
        (errno.ENFILE, "connect", "resource"),
        (errno.ENOMEM, "transfer", "resource"),
        (errno.ENOSPC, "transfer", "resource"),
        (errno.ECONNRESET, "connect", "connect"),
        (errno.ECONNRESET, "proxy", "connect"),
        (errno.ECONNRESET, "tls", "tls"),
        (errno.ECONNRESET, "first_byte", "cutoff"),
        (errno.ECONNRESET, "transfer", "cutoff"),
        (errno.EPIPE, "transfer", "cutoff"),
        (errno.ETIMEDOUT, "connect", "timeout"),
        (errno.EADDRNOTAVAIL, "connect", "resource"),
        (errno.ENODEV, "config", "config"),
        (errno.EAFNOSUPPORT, "connect", "unsupported"),
        (errno.EPROTO, "connect", "connect"),
        (errno.EPROTO, "transfer", "internal"),
    ],
)
def test_an_errno_has_one_class_in_each_phase(number: int, phase: Phase, expected: ErrorClass) -> None:
    """The code is the errno's name, the phase is the caller's."""
    error = classify(OSError(number, os.strerror(number)), phase).error
    assert (error.class_, error.phase, error.code) == (expected, phase, errno.errorcode[number])
    assert error.message == os.strerror(number)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (socket.EAI_NONAME, "NXDOMAIN"),
        (socket.EAI_NODATA, "NODATA"),
        (socket.EAI_ADDRFAMILY, "NODATA"),
        (socket.EAI_AGAIN, "EAI_AGAIN"),
        (socket.EAI_FAIL, "EAI_FAIL"),
    ],
)
def test_the_resolvers_verdict_is_class_dns(number: int, code: str) -> None:
    """getaddrinfo's numbers become response codes where they say which it was."""
    error = classify(socket.gaierror(number, "whatever it says"), "resolve").error
    assert (error.class_, error.phase, error.code) == ("dns", "resolve", code)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLS alert 40"),
        ("TLSV1_ALERT_UNKNOWN_CA", "TLS alert 48"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "TLS alert 70"),
        ("TLSV1_UNRECOGNIZED_NAME", "TLS alert 112"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLS alert 116"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "TLS alert 120"),
        ("WRONG_VERSION_NUMBER", "WRONG_VERSION_NUMBER"),
        ("NO_SHARED_CIPHER", "NO_SHARED_CIPHER"),
    ],
)
def test_an_alert_gives_its_number(reason: str, code: str) -> None:
    """OpenSSL's reason decides, whatever the message says."""
    error = ssl.SSLError(1, "[SSL] CERTIFICATE_VERIFY_FAILED timed out refused")
    error.reason = reason
    assert tls_code(error) == code
    assert classify(error, "tls").error.class_ == "tls"


def test_an_alert_without_a_name_in_python_gives_its_number_too() -> None:
    """Python 3.11 knows no name for alert 120; OpenSSL's text does."""
    error = ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")
    error.reason = ""
    assert tls_code(error) == "TLS alert 120"


def test_a_certificate_error_gives_the_verification_code() -> None:
    """The number decides; one that is not in the table stands there itself."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    for number, name in ((10, "CERT_HAS_EXPIRED"), (62, "HOSTNAME_MISMATCH"), (93, "93")):
        error.verify_code, error.verify_message = number, "some words."
        assert tls_code(error) == f"CERTIFICATE_VERIFY_FAILED: {name}"
    assert classify(error, "tls").error.message == "certificate not accepted: some words"


def test_timers_ends_and_the_unexpected() -> None:
    """A timer is `timeout` whatever it is made of; an end is judged by its phase; a bug is `internal`."""
    assert classify(TimeoutError(), "tls").error.code == "TIMEOUT"
    assert classify(TimeoutError(errno.ETIMEDOUT, "x"), "connect").error.code == "ETIMEDOUT"
    assert classify(EOFError(), "first_byte").error.class_ == "protocol"
    assert classify(EOFError(), "transfer").error.class_ == "cutoff"
    assert classify(ZeroDivisionError("refused"), "transfer").error.class_ == "internal"
    assert classify(MemoryError(), "transfer").error.class_ == "resource"


def test_what_is_classified_stays_as_it_is() -> None:
    """An explicit protocol code comes first."""
    failure = Failed("rejected", "request", "404")
    assert classify(failure, "connect") is failure


def issued(*names: str, not_after: datetime | None = None) -> x509.Certificate:
    leaf = trustme.CA().issue_cert(*names, not_after=not_after)
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())


def test_a_certificate_names_hosts_by_its_alternative_names() -> None:
    """Case and a final dot don't count, a star covers one label, an address only as an address."""
    certificates = Certificates([issued("www.ots.test", "*.wild.test", "192.0.2.1", "2001:db8::1")])
    for host in ("www.ots.test", "WWW.ots.test.", "a.wild.test", "192.0.2.1", "2001:db8:0::1"):
        assert certificates.names_host(host), host
    for host in ("ots.test", "wild.test", "a.b.wild.test", ".wild.test", "192.0.2.2", "xwww.ots.test"):
        assert not certificates.names_host(host), host


def test_the_chain_ends_with_its_first_certificate_to_end() -> None:
    """Days are counted to the earliest end of validity, and below zero after it."""
    early = datetime(2030, 1, 11, tzinfo=UTC)
    certificates = Certificates([issued("a.test"), issued("b.test", not_after=early)])
    assert certificates.first_to_end == early
    assert days_left(early, (early - timedelta(days=10)).timestamp()) == 10
    assert days_left(early, (early + timedelta(hours=12)).timestamp()) == -0.5


def test_one_good_sample_saves_the_attempt() -> None:
    """Failures of the network fail the attempt only if no sample succeeded; the first one speaks."""
    samples = Samples()
    samples.failure(Failed("timeout", "connect", "TIMEOUT"))
    samples.failure(Failed("refused", "connect", "ECONNREFUSED"))
    with pytest.raises(Failed, match="TIMEOUT"):
        samples.conclude()
    samples.success()
    samples.conclude()


def test_a_wrong_answer_fails_the_attempt_in_any_case() -> None:
    """Nine right answers don't make the tenth one right."""
    samples = Samples()
    samples.success()
    samples.failure(Failed("content", "verify", "ANSWER"))
    with pytest.raises(Failed, match="ANSWER"):
        samples.conclude()


def test_a_failure_of_ours_ends_the_attempt_at_once() -> None:
    """No further sample would be evidence."""
    with pytest.raises(Failed, match="EMFILE"):
        Samples().failure(Failed("resource", "connect", "EMFILE"))
