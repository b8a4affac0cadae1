"""Keys, statements and signed requests: what holds, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import http_message_signatures
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OKPKey

from ots.signing.keys import UnusableKey, encode64, key_id, load_or_make, read_public, write_public
from ots.signing.request import (
    RequestRefused,
    content_digest,
    promised_digest,
    prove,
    read_claim,
    signed_headers,
)
from ots.signing.statement import StatementError, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}
NOW = 1_770_000_000


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    key = read_public("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert key_id(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert write_public(key) == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


@pytest.mark.parametrize(
    "text", ["", "abc", "=" * 43, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp", "é" * 43]
)
def test_no_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        read_public(text)


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "agent.key"
    first = load_or_make(path)
    assert write_public(load_or_make(path).public_key()) == write_public(first.public_key())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_open_to_others_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    load_or_make(path)
    os.chmod(path, 0o640)
    with pytest.raises(UnusableKey, match="open to others"):
        load_or_make(path)
    path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    os.chmod(path, 0o600)
    with pytest.raises(UnusableKey, match="no Ed25519 key"):
        load_or_make(path)


def test_a_statement_comes_back_as_it_was_said() -> None:
    said = {"tier": "friendly", "n": 7, "note": "北京"}
    assert verify(sign(said, "x+jws", KEY), "x+jws", TRUSTED) == said


def _crafted(header: object, payload: bytes, key: Ed25519PrivateKey = KEY) -> str:
    signed = f"{encode64(json.dumps(header).encode())}.{encode64(payload)}"
    return f"{signed}.{encode64(key.sign(signed.encode()))}"


_HEADER = {"alg": "Ed25519", "typ": "x+jws", "kid": key_id(KEY.public_key())}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "malformed"),
        ("a.b", "malformed"),
        ("e30.e30", "malformed"),
        ("e30.e30.e30.e30", "malformed"),
        ("é.é.é", "malformed"),
        ("A" * 70_000, "malformed"),
        (_crafted({**_HEADER, "alg": "EdDSA"}, b"{}"), "malformed"),
        (_crafted({**_HEADER, "alg": "none"}, b"{}"), "malformed"),
        (_crafted({**_HEADER, "jwk": {"kty": "OKP"}}, b"{}"), "malformed"),
        (_crafted({**_HEADER, "crit": ["x"]}, b"{}"), "malformed"),
        (_crafted({"alg": "Ed25519", "typ": "x+jws"}, b"{}"), "malformed"),
        (_crafted([1], b"{}"), "malformed"),
        (_crafted({**_HEADER, "typ": "y+jws"}, b"{}"), "wrong-type"),
        (_crafted({**_HEADER, "kid": key_id(OTHER.public_key())}, b"{}", OTHER), "unknown-key"),
        (_crafted({**_HEADER, "kid": ["a"]}, b"{}"), "unknown-key"),
        (_crafted(_HEADER, b"{}", OTHER), "bad-signature"),
        (_crafted(_HEADER, b'{"tier": 1, "tier": 2}'), "malformed"),
        (_crafted(_HEADER, b'{"n": NaN}'), "malformed"),
        (_crafted(_HEADER, b'{"n": 1e309}'), "malformed"),
        (_crafted(_HEADER, b"[1]"), "malformed"),
        (_crafted(_HEADER, b"\xff"), "malformed"),
        (_crafted(_HEADER, b'{"a":' * 3000 + b"1" + b"}" * 3000), "malformed"),
        (_crafted(_HEADER, b'{"a":' * 20 + b"1" + b"}" * 20), "malformed"),
    ],
)
def test_a_statement_that_proves_nothing(text: str, fault: str) -> None:
    with pytest.raises(StatementError) as caught:
        verify(text, "x+jws", TRUSTED)
    assert caught.value.fault == fault


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_character_survives(place: int, change: int) -> None:
    text = sign({"tier": "friendly", "serial": 41}, "x+jws", KEY)
    place %= len(text)
    changed = text[:place] + chr((ord(text[place]) ^ change) & 0x7F) + text[place + 1 :]
    try:
        found = verify(changed, "x+jws", TRUSTED)
    except StatementError:
        return
    assert found == {"tier": "friendly", "serial": 41} and changed.strip() == text


def _signed(body: bytes = b"abc", created: int = NOW) -> dict[str, str]:
    return signed_headers("PUT", "/api/v1/x", "a=1", body, key=KEY, key_id="agent-1", created=created)


def test_a_signed_request_is_proven_and_promises_its_body() -> None:
    headers = _signed()
    claim = read_claim(headers)
    prove(claim, "PUT", "/api/v1/x", "a=1", headers, key=KEY.public_key(), now=NOW + 299)
    assert claim.key_id == "agent-1"
    promised = promised_digest(claim, headers)
    assert promised is not None and f"sha-256=:{base64.b64encode(promised).decode()}:" == content_digest(
        b"abc"
    )
    bare = _signed(b"")
    assert promised_digest(read_claim(bare), bare) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "POST"}, "signature-invalid"),
        ({"path": "/api/v1/y"}, "signature-invalid"),
        ({"query": "a=2"}, "signature-invalid"),
        ({"digest": content_digest(b"abd")}, "signature-invalid"),
        ({"key": OTHER}, "signature-invalid"),
        ({"now": NOW + 301}, "clock-skew"),
        ({"now": NOW - 301}, "clock-skew"),
        ({"now": NOW + 301, "key": OTHER}, "signature-invalid"),
    ],
)
def test_a_request_that_was_changed_or_is_old(change: dict[str, object], code: str) -> None:
    headers = _signed()
    claim = read_claim(headers)
    given_key = change.get("key", KEY)
    assert isinstance(given_key, Ed25519PrivateKey)
    with pytest.raises(RequestRefused) as caught:
        prove(
            claim,
            str(change.get("method", "PUT")),
            str(change.get("path", "/api/v1/x")),
            str(change.get("query", "a=1")),
            {**headers, "Content-Digest": str(change.get("digest", headers["Content-Digest"]))},
            key=given_key.public_key(),
            now=float(str(change.get("now", NOW))),
        )
    assert caught.value.code == code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Signature": "ots=:AA==:"},
        {"Signature-Input": 'ots=("@method");created=1;keyid="a"', "Signature": "ots=:AA==:"},
        {"Signature-Input": 'ots=("@method" "@path" "@query");created=1', "Signature": "ots=:AA==:"},
        {
            "Signature-Input": 'ots=("@method" "@path" "@query");created=x;keyid="a"',
            "Signature": "ots=:AA==:",
        },
        {"Signature-Input": 'ots=("@method" "@path" "@query");created=1;keyid="a"', "Signature": "ots=:!!:"},
        {
            "Signature-Input": 'ots=("@method" "@path" "@query");created=1;keyid="a\n"',
            "Signature": "ots=:AA==:",
        },
    ],
)
def test_a_request_without_a_readable_signature(headers: dict[str, str]) -> None:
    with pytest.raises(RequestRefused):
        read_claim(headers)


def test_an_independent_library_reads_and_writes_the_same_statements() -> None:
    own, said = OKPKey.import_key(KEY), {"tier": "friendly", "note": "北京"}
    read = jws.deserialize_compact(sign(said, "x+jws", KEY), own, algorithms=["Ed25519"])
    assert json.loads(read.payload) == said and read.headers() == _HEADER
    written = jws.serialize_compact(_HEADER, json.dumps(said).encode(), own, algorithms=["Ed25519"])
    assert verify(written, "x+jws", TRUSTED) == said


def test_an_independent_library_agrees() -> None:
    class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> object:
            return KEY.public_key()

        def resolve_private_key(self, key_id: str) -> object:
            return KEY

    class Message:
        method, url = "PUT", "https://server.example/api/v1/x?a=1"
        headers = _signed(created=int(time.time()))

    verifier = http_message_signatures.HTTPMessageVerifier(
        signature_algorithm=http_message_signatures.algorithms.ED25519, key_resolver=Resolver()
    )
    verified = verifier.verify(Message())
    assert {'"@method"', '"@path"', '"@query"', '"content-digest"'} < set(verified[0].covered_components)
