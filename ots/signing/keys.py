"""Ed25519 keys: made, kept in a file of their owner, written and named.

A public key is written as 43 characters of base64url (RFC 8037 `x`); its name, the key id, is the thumbprint
of RFC 7638. A private key is kept as PKCS#8 in PEM, mode 0600, and never leaves its file.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_KEY_BYTES = 32
_MAX_FILE = 4096


class UnusableKey(Exception):
    """A key that can't be used; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def write_public(key: Ed25519PublicKey) -> str:
    """The 43 characters of a public key."""
    return encode64(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def read_public(text: str) -> Ed25519PublicKey:
    """The key that these 43 characters write. Raises ValueError for anything else."""
    raw = decode64(text)
    if len(raw) != _KEY_BYTES or encode64(raw) != text:
        raise ValueError("a public key is 43 characters of base64url")
    return Ed25519PublicKey.from_public_bytes(raw)


def key_id(key: Ed25519PublicKey) -> str:
    """The thumbprint of a key: 43 characters that nobody can choose (RFC 7638, RFC 8037 appendix A.3)."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{write_public(key)}"}}'
    return encode64(hashlib.sha256(canonical.encode()).digest())


def load_or_make(path: Path) -> Ed25519PrivateKey:
    """The private key in a file; made when there is none. Several processes at once agree on one.

    Raises UnusableKey where the file can't be used, and where others could read or change it.
    """
    try:
        found = _load(path)
        return found if found is not None else _make(path)
    except OSError as error:
        raise UnusableKey(
            f"the key {path} can't be used: {error.strerror or error}",
            "Give yourself the right to it, or name another folder.",
        ) from None


def _load(path: Path) -> Ed25519PrivateKey | None:
    try:
        with path.open("rb") as file:
            rights = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MAX_FILE)
    except FileNotFoundError:
        return None
    if rights & 0o077:
        raise UnusableKey(
            f"the key {path} is open to others (mode {rights:04o})",
            f"Nobody can say who used it. If nobody did: chmod 600 {path}. Else delete it and enrol anew.",
        )
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{path} holds no Ed25519 key", "Bring the file back, or delete it and enrol anew.")
    return key


def _make(path: Path) -> Ed25519PrivateKey:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # a rename would replace the key of a process that was faster
    finally:
        Path(draft).unlink(missing_ok=True)
    made = _load(path)
    assert made is not None
    return made


def encode64(data: bytes) -> str:
    """Base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode64(text: str) -> bytes:
    """The bytes; ValueError for what is no base64url without padding."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"no base64url: {error}") from None
