"""What an agent does about answers, and what addresses of servers it takes."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from ots.remote import retry
from ots.remote.client import AddressError, check_address, retry_after
from ots.server.api.problems import CODES


@pytest.mark.parametrize("status", [500, 502, 503, 504, 507, 408, 425, 429])
@pytest.mark.parametrize("code", [None, "internal", "overloaded"])
def test_trouble_that_passes(status: int, code: str | None) -> None:
    """Is tried again, whoever said it."""
    assert retry.decide(status, code) == "retry"


def test_only_the_server_parks() -> None:
    """A 4xx that is not in the server's words is a disturbance on the way."""
    assert [retry.decide(status, None) for status in (400, 403, 404, 413, 451)] == ["retry"] * 5
    assert retry.decide(422, "schema-unsupported") == "park"


def test_every_code_of_the_server_has_its_decision() -> None:
    """Nothing that is about the agent parks a report, nothing that passes stops the agent."""
    found: dict[str, set[str]] = {"retry": set(), "park": set(), "stop": set()}
    for code, (status, _title) in CODES.items():
        found[retry.decide(status, code)].add(code)
    assert found["retry"] >= {
        "database-away", "storage-full", "closing", "internal", "rate-limited", "quota-exceeded", "too-slow",
    }  # fmt: skip
    assert found["stop"] >= {
        "agent-unknown", "agent-pending", "agent-suspended", "agent-revoked", "agent-left",
        "licence-required",
        "signature-invalid", "signature-missing", "clock-skew", "not-found",
    }  # fmt: skip
    assert found["park"] >= {
        "revision-conflict", "digest-mismatch", "schema-unsupported", "too-large", "expands-too-far",
        "forbidden", "invalid-body",
    }  # fmt: skip


def test_waiting_times() -> None:
    """Full jitter between 1 s and 15 min; what the server asked for at least, but six hours at most."""
    for failures in (1, 3, 10, 1000):
        waits = [retry.backoff(failures) for _ in range(300)]
        assert min(waits) >= 1 and max(waits) <= min(900, max(1.0, 2.0 ** min(failures, 16)))
    assert max(retry.backoff(20) for _ in range(300)) > 450
    assert 60 <= retry.wait(1, 60) <= 61
    assert retry.wait(1, 1e12) <= 21_601
    assert retry.wait(1, -5) >= 1


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("ots.example", "https://ots.example"),
        ("https://ots.example/", "https://ots.example"),
        ("https://OTS.example:8443", "https://ots.example:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_addresses(written: str, address: str) -> None:
    """One form for each server; without a scheme it is https."""
    assert check_address(written, plain_http=False) == address


@pytest.mark.parametrize(
    "written",
    [
        "http://ots.example",
        "http://192.0.2.1:80",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "https://user:secret@ots.example",
        "https://ots.example/path",
        "https://ots.example?x=1",
        "https://ots.example#x",
        "ftp://ots.example",
        "https://",
        "https://ots.example:99999",
        "https://ots.example\r\nX: y",
        "https://[::1",
    ],
)
def test_addresses_that_are_none(written: str) -> None:
    """Each is refused with a remedy, and no user's name or password is repeated."""
    with pytest.raises(AddressError) as refused:
        check_address(written, plain_http=False)
    assert refused.value.remedy and "secret" not in str(refused.value)


def test_plain_http_where_it_was_allowed() -> None:
    """Only if somebody said so."""
    assert check_address("http://192.0.2.1:80", plain_http=True) == "http://192.0.2.1:80"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1" * 400, 111_111_111),
        (None, None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    """A number of seconds as RFC 9110 has it; anything else is as if nothing had been said."""
    assert retry_after(text) == seconds


def test_retry_after_as_a_date() -> None:
    """A moment to come is waited for, one that is over is not."""
    soon = retry_after(formatdate(time.time() + 90, usegmt=True))
    assert soon is not None and 85 <= soon <= 91
    assert retry_after(formatdate(time.time() - 90, usegmt=True)) == 0
