"""Signed statements: one JSON object in a compact JWS (RFC 7515) with Ed25519 (RFC 9864) and nothing else.

A statement says what it is in the header's `typ`, so that a receipt can never pass for a licence, and which
key signed it in `kid`. The verifying keys are the caller's; a key inside a statement is never used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ots.signing.keys import decode64, encode64, key_id

ALGORITHM = "Ed25519"
MAX_CHARACTERS = 65_536
_MAX_DEPTH = 16

Fault = Literal["malformed", "wrong-type", "unknown-key", "bad-signature"]


class StatementError(Exception):
    """A statement that proves nothing; `fault` says why, for a machine."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault: Fault = fault


def sign(statement: Mapping[str, Any], typ: str, key: Ed25519PrivateKey) -> str:
    """The compact JWS of a JSON object."""
    header = {"alg": ALGORITHM, "typ": typ, "kid": key_id(key.public_key())}
    signed = f"{encode64(_json(header))}.{encode64(_json(statement))}"
    return f"{signed}.{encode64(key.sign(signed.encode('ascii')))}"


def verify(text: str, typ: str, keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """The JSON object that one of these keys (by key id) signed as this type.

    Raises StatementError: `malformed` (no JWS, another algorithm, no JSON object, a name twice in an object,
    too large or deep), `wrong-type`, `unknown-key`, `bad-signature`.
    """
    if len(text) > MAX_CHARACTERS:
        raise StatementError("malformed", f"a statement has at most {MAX_CHARACTERS} characters")
    signed = text.strip().rpartition(".")[0]
    try:
        first, payload, signature = (_canonical(part) for part in text.strip().split("."))
        header = strict_object(first)
    except (ValueError, StatementError):
        raise StatementError("malformed", "this is no compact JWS") from None
    if header.keys() != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM:
        raise StatementError("malformed", f"the header must name alg {ALGORITHM}, typ and kid, and no more")
    if header["typ"] != typ:
        raise StatementError("wrong-type", f"this is {str(header['typ'])[:60]!r}, not {typ!r}")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise StatementError("unknown-key", "it was signed by a key that is not trusted for this")
    try:
        key.verify(signature, signed.encode("ascii"))
    except InvalidSignature:
        raise StatementError("bad-signature", "the signature does not fit the content") from None
    return strict_object(payload)


def strict_object(data: bytes) -> dict[str, Any]:
    """A JSON object in which no name comes twice and every number is finite. Raises StatementError."""
    try:
        found = json.loads(data, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise StatementError("malformed", f"the content is no strict JSON: {error}") from None
    if not isinstance(found, dict) or _depth(found) > _MAX_DEPTH:
        raise StatementError("malformed", "the content is no flat JSON object")
    return found


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _canonical(part: str) -> bytes:
    """The bytes; ValueError for all but the one way to write them."""
    data = decode64(part)
    if encode64(data) != part:
        raise ValueError("another way to write these bytes")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(inner) for inner in value), default=0)
    return 0
