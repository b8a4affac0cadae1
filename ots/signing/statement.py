"""Signed statements: one JSON object in a compact JWS (RFC 7515) with Ed25519 (RFC 9864) and nothing else.

A statement says what it is in the header's `typ`, so that a receipt can never pass for a licence, and which
key signed it in `kid`. The verifying keys are the caller's; a key inside a statement is never used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from ots.signing.keys import key_id

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
    payload = json.dumps(statement, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return jws.serialize_compact(header, payload, OKPKey.import_key(key), algorithms=[ALGORITHM])


def verify(text: str, typ: str, keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """The JSON object that one of these keys (by key id) signed as this type.

    Raises StatementError: `malformed` (no JWS, another algorithm, no JSON object, a name twice in an object,
    too large or deep), `wrong-type`, `unknown-key`, `bad-signature`.
    """
    if len(text) > MAX_CHARACTERS:
        raise StatementError("malformed", f"a statement has at most {MAX_CHARACTERS} characters")
    text = text.strip()
    try:
        header = jws.extract_compact(text.encode("ascii")).headers()
    except (JoseError, ValueError, RecursionError):
        raise StatementError("malformed", "this is no compact JWS") from None
    if header.keys() != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM:
        raise StatementError("malformed", f"the header must name alg {ALGORITHM}, typ and kid, and no more")
    if header["typ"] != typ:
        raise StatementError("wrong-type", f"this is {str(header['typ'])[:60]!r}, not {typ!r}")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise StatementError("unknown-key", "it was signed by a key that is not trusted for this")
    try:
        payload = jws.deserialize_compact(text, OKPKey.import_key(key), algorithms=[ALGORITHM]).payload
    except (JoseError, ValueError):
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
