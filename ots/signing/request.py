"""Signed requests: HTTP Message Signatures (RFC 9421) in the one form that OTS uses.

    Content-Digest: sha-256=:…:                                          (RFC 9530; only with a body)
    Signature-Input: ots=("@method" "@path" "@query" "content-digest");created=1770000000;keyid="…"
    Signature: ots=:…:

The digest is that of the body as it travels, so that a body is checked before it is unpacked. `keyid` is the
agent's id. A signature proves who sent a request and when; a repetition within the window is harmless because
every request of an agent may come twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

WINDOW = 300
"""Seconds that a request's time may differ from the receiver's clock."""

_LABEL = "ots"
_BARE = ("@method", "@path", "@query")
_INPUT = re.compile(
    r'ots=\((?P<covered>[^()]{1,120})\);created=(?P<created>\d{1,12});keyid="(?P<keyid>[A-Za-z0-9._-]{1,64})"',
    re.ASCII,
)
_BYTES = re.compile(r"(?:ots|sha-256)=:(?P<data>[A-Za-z0-9+/]{1,120}={0,2}):", re.ASCII)


class RequestRefused(Exception):
    """A request that proves nothing; `code` is `signature-missing`, `signature-invalid` or `clock-skew`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of itself before anything is proven. `created` in seconds since 1970."""

    key_id: str
    created: int
    covered: tuple[str, ...]
    signature: bytes
    input: str


def content_digest(body: bytes) -> str:
    """The Content-Digest header of a body as it travels."""
    return _digest_header(hashlib.sha256(body).digest())


def signed_headers(
    method: str, path: str, query: str, body: bytes, *, key: Ed25519PrivateKey, key_id: str, created: int
) -> dict[str, str]:
    """The headers that sign a request. `path` and `query` (without `?`) as they stand in the request line."""
    headers = {"Content-Digest": content_digest(body)} if body else {}
    covered = (*_BARE, "content-digest") if body else _BARE
    words = " ".join(f'"{name}"' for name in covered)
    parameters = f'({words});created={created};keyid="{key_id}"'
    base = _base(method, path, query, headers.get("Content-Digest"), covered, parameters)
    signature = base64.b64encode(key.sign(base)).decode("ascii")
    return {**headers, "Signature-Input": f"{_LABEL}={parameters}", "Signature": f"{_LABEL}=:{signature}:"}


def read_claim(headers: Mapping[str, str]) -> Claim:
    """What a request claims. Raises RequestRefused."""
    text, signature = headers.get("Signature-Input"), headers.get("Signature")
    if text is None or signature is None:
        raise RequestRefused("signature-missing", "the request is not signed")
    found = _INPUT.fullmatch(text)
    covered = tuple(word.strip('"') for word in found["covered"].split(" ")) if found else ()
    if found is None or covered not in (_BARE, (*_BARE, "content-digest")):
        raise RequestRefused("signature-invalid", "the signature does not cover what it must")
    return Claim(
        key_id=found["keyid"],
        created=int(found["created"]),
        covered=covered,
        signature=_bytes(signature),
        input=text.removeprefix(f"{_LABEL}="),
    )


def prove(
    claim: Claim,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    key: Ed25519PublicKey,
    now: float,
) -> None:
    """Raises RequestRefused unless this key signed this request within the window around `now`.

    The signature comes first: only a proven sender is told that its clock is wrong.
    """
    digest = headers.get("Content-Digest")
    base = _base(method, path, query, digest, claim.covered, claim.input)
    try:
        key.verify(claim.signature, base)
    except InvalidSignature:
        raise RequestRefused("signature-invalid", "the signature does not fit the request") from None
    if abs(now - claim.created) > WINDOW:
        raise RequestRefused("clock-skew", f"the request's time differs by more than {WINDOW} s")


def promised_digest(claim: Claim, headers: Mapping[str, str]) -> bytes | None:
    """The SHA-256 that the signed headers promise of the body; None if they promise an empty one."""
    return _bytes(headers.get("Content-Digest", "")) if "content-digest" in claim.covered else None


def _base(
    method: str, path: str, query: str, digest: str | None, covered: tuple[str, ...], parameters: str
) -> bytes:
    """The signature base of RFC 9421 §2.5."""
    values = {"@method": method, "@path": path, "@query": f"?{query}", "content-digest": digest or ""}
    lines = [f'"{name}": {values[name]}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("utf-8")


def _digest_header(digest: bytes) -> str:
    return f"sha-256=:{base64.b64encode(digest).decode('ascii')}:"


def _bytes(text: str) -> bytes:
    found = _BYTES.fullmatch(text)
    if found is None:
        raise RequestRefused("signature-invalid", "this is no byte sequence of RFC 9651")
    try:
        return base64.b64decode(found["data"], validate=True)
    except binascii.Error:
        raise RequestRefused("signature-invalid", "this is no byte sequence of RFC 9651") from None
