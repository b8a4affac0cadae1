"""What leaves: no secret wherever it stands, nothing that the settings withhold, else the stored bytes."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from ots import log
from ots.config.values import Upload
from ots.model.report import Artifact, Context, LogLine
from ots.remote.leaving import clean_artifact, leaving
from ots.remote.redaction import clean, clean_text
from ots.store.document import encode
from tests.unit.sample_reports import office

CANARY = "c4n4ry-Zq8wE"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"http://user:{CANARY}@192.0.2.1/x", "192.0.2.1/x"),
        (f"ftp://{CANARY}@192.0.2.1", "192.0.2.1"),
        (f"GET / HTTP/1.1\r\nAuthorization: Basic {CANARY}==\r\nHost: a", "Host: a"),
        (f"proxy-authorization = Digest username={CANARY}", "proxy-authorization"),
        (f"Cookie: a=1; session={CANARY}", "Cookie"),
        (f"set-cookie: sid={CANARY}; Path=/\nnext", "next"),
        (f"https://192.0.2.1/a?token={CANARY}&b=2", "b=2"),
        (f"https://192.0.2.1/a?b=2&access_token={CANARY}", "b=2"),
        (f"login failed: password={CANARY} for bob", "for bob"),
        (f"PASSWORD: {CANARY}", "PASSWORD"),
        (f"X-API-Key: {CANARY}", "X-API-Key"),
        (f"sent bearer {CANARY} to it", "to it"),
        (f"jwt eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.c2ln-abc end", "end"),
        (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\nend", "end"),
        (f"client_secret='{CANARY}'", "client_secret"),
        (f'said {{"password": "{CANARY}", "x": 1}}', '"x": 1'),
        ("Basic dXNlcjpwYXNz" + CANARY, "Basic"),
    ],
)
def test_text(text: str, kept: str) -> None:
    """A secret goes by its form; what stands beside it stays."""
    found = clean_text(text)
    assert CANARY not in found and kept in found


@pytest.mark.parametrize(
    "text",
    [
        "rtt 11.2 ms to 192.0.2.1, 25 sent, 24 received",
        "http://192.0.2.1:8080/index.html?size=10MB",
        "user@example.net was refused",
        "the password was refused",
        "basic connectivity tests of the secret garden; Basic authentication failed",
        "${secret:mail.example}",
        "password: ${secret:mail.example}",
        "token_bucket full",
        "tls: certificate signature algorithm sha256WithRSAEncryption",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    """What only speaks of secrets, or refers to one by its name, is left alone."""
    assert clean_text(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "a-",
        "a",
        "eyJ-",
        "eyJaaaaaaaa.",
        "basic ",
        "cookie ",
        "://a",
        "-----BEGIN PRIVATE KEY-----",
        "x=",
        " ",
        "pass-",
    ],
)
def test_hostile_text_takes_no_time(piece: str) -> None:
    """What is made to make a search slow: a megabyte of it takes seconds at most."""
    began = time.process_time()
    clean_text(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 5


def test_members_by_name() -> None:
    """A member with a telling name is blotted out wherever it is; the pointers say where."""
    value: dict[str, Any] = {
        "params": {"proxy_password": CANARY, "password": "${secret:x}", "url": f"http://a:{CANARY}@b/"},
        "headers": [{"name": "Cookie", "value": CANARY}, {"name": "Accept", "value": "*/*"}],
        "tokens": 3,
        "a/b~c": {"Authorization": CANARY},
        "series": [1.5, None, 2],
        "deep": [[{"api-key": CANARY}]],
    }
    assert list(clean(value, str)) == [
        "/params/proxy_password",
        "/params/url",
        "/headers/0/value",
        "/a~1b~0c/Authorization",
        "/deep/0/0/api-key",
    ]
    assert CANARY not in json.dumps(value)
    assert value["params"]["password"] == "${secret:x}" and value["series"] == [1.5, None, 2]


def test_report_without_secrets_leaves_as_it_is() -> None:
    """Byte for byte: nothing is written anew without need."""
    stored = encode(office())
    found = leaving(stored, Upload(), lambda _digest: None)
    assert (found.document, found.left_out) == (stored, ())


def test_numbers_survive() -> None:
    """A report that is written anew differs in what was blotted out and in nothing else."""
    report = office()
    stored = encode(report)
    report.tags = {"note": f"password={CANARY}"}
    found = leaving(encode(report), Upload(), lambda _digest: None)
    assert found.left_out == ("/tags/note",)
    expected = office()
    expected.tags = {"note": "password=***"}
    assert found.document == encode(expected) != stored


def test_canaries_all_over_a_report() -> None:
    """Wherever a probe, a server or a person can put text."""
    report = office()
    report.job.notes = [f"2026-03-01T08:00:00Z pwd={CANARY}"]
    step = report.steps[0]
    step.params = {"url": f"http://u:{CANARY}@h/", "headers": {"Authorization": f"Bearer {CANARY}"}}
    step.log = [LogLine(t=0.1, level="info", text=f"220 hello\r\nSet-Cookie: id={CANARY}")]
    step.targets = [f"ftp://u:{CANARY}@192.0.2.1/"]
    stored = encode(report)
    found = leaving(stored, Upload(), lambda _digest: None)
    assert CANARY in stored.decode() and CANARY not in found.document.decode()
    assert len(found.left_out) == 5


def test_secret_that_was_given_out_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret without any form is found where people write, and not in the format's own words."""
    monkeypatch.setattr(log, "_hidden", {"pass", "zyxw-no-form"})
    report = office()
    report.job.notes = ["2026-03-01T08:00:00Z they said zyxw-no-form"]
    report.verdict = "pass"
    found = msgspec.json.decode(leaving(encode(report), Upload(), lambda _digest: None).document)
    assert found["job"]["notes"] == ["2026-03-01T08:00:00Z they said ***"] and found["verdict"] == "pass"


CONTEXT = Context(
    t=0.0,
    device={"model": "T480", "kernel": "6.1"},
    network={
        "addresses": [{"address": "192.0.2.7"}],
        "gateway": [{"address": "192.0.2.1"}],
        "dns": ["192.0.2.53"],
        "type": "ethernet",
        "wifi": {"ssid_hash": "ab", "bssid_hash": "cd", "channel": 6},
    },
    radio=None,
    position={"latitude": 30.2, "longitude": 120.1},
    load={},
    nulls={},
)


@pytest.mark.parametrize(
    ("switch", "gone", "left_out"),
    [
        ("position", ["30.2", "120.1"], ("/contexts/0/position",)),
        ("device", ["T480", "6.1"], ("/contexts/0/device",)),
        (
            "addresses",
            ["192.0.2.7", "192.0.2.1", "192.0.2.53", '"ab"', '"cd"'],
            (
                "/contexts/0/network/addresses",
                "/contexts/0/network/gateway",
                "/contexts/0/network/dns",
                "/contexts/0/network/wifi/ssid_hash",
                "/contexts/0/network/wifi/bssid_hash",
            ),
        ),
    ],
)
def test_what_settings_withhold(switch: str, gone: list[str], left_out: tuple[str, ...]) -> None:
    """Each switch takes out its own and nothing else; each null says why."""
    report = office()
    report.contexts, report.steps = [CONTEXT], []
    stored = encode(report)
    assert leaving(stored, Upload(), lambda _digest: None).left_out == ()
    found = leaving(stored, Upload(**{switch: False}), lambda _digest: None)
    assert found.left_out == left_out
    context = msgspec.json.encode(msgspec.json.decode(found.document)["contexts"][0]).decode()
    assert not any(word in context for word in gone)
    assert '"withheld"' in context
    for other in {"T480", "192.0.2.7", "30.2", "ethernet"} - set(gone):
        assert other in context


def test_artifacts() -> None:
    """A file's secrets go, too; the report names the file that is sent, and which stored one it was."""
    har = json.dumps({"log": {"entries": [{"request": {"headers": [{"name": "Cookie", "value": CANARY}]}}]}})
    kept = {"a" * 64: har.encode(), "b" * 64: b"\x89PNG" + CANARY.encode()}
    report = office()
    report.steps[0].artifacts = [
        Artifact(name="page.har", media_type="application/har+json", bytes=len(har), sha256="a" * 64),
        Artifact(name="page.png", media_type="image/png", bytes=99, sha256="b" * 64),
        Artifact(name="gone.txt", media_type="text/plain", bytes=9, sha256="c" * 64),
    ]
    found = leaving(encode(report), Upload(), kept.get)
    assert found.left_out == ("/steps/0/artifacts/0",)
    assert sorted(found.artifacts.values()) == ["a" * 64, "b" * 64, "c" * 64]
    assert "a" * 64 not in found.artifacts
    assert CANARY.encode() not in clean_artifact("application/har+json", kept["a" * 64])
    assert clean_artifact("text/plain", b"\xff\xfe not text") == b"\xff\xfe not text"


@pytest.mark.parametrize("document", [b"{}", b"[]", b"null", b"{", b'{"contexts": 1, "steps": []}'])
def test_what_is_no_report(document: bytes) -> None:
    """Nothing of it leaves."""
    with pytest.raises(ValueError):
        leaving(document, Upload(), lambda _digest: None)
