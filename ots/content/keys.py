"""The private keys of a repository: PKCS#8 in PEM, mode 0600, encrypted where a passphrase is given."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from ots.config.whole_file import write_whole
from ots.signing.keys import UnusableKey

_MAX_FILE = 4096


def make(path: Path, passphrase: str | None) -> CryptoSigner:
    """A new key in a file of its owner. Raises UnusableKey where there is a file already, OSError."""
    if path.exists():
        raise UnusableKey(f"{path} is there already", "A key is never overwritten; name another folder.")
    key = Ed25519PrivateKey.generate()
    lock: KeySerializationEncryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    )
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return signer_of(key)


def load(path: Path, passphrase: str | None) -> CryptoSigner:
    """The key in a file. Raises UnusableKey where it is missing, open to others, locked or no such key."""
    try:
        with path.open("rb") as file:
            rights = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MAX_FILE)
    except FileNotFoundError:
        raise UnusableKey(
            f"there is no key {path}", "Sign on the machine that has it, or bring the file here."
        ) from None
    except OSError as error:
        raise UnusableKey(
            f"the key {path} can't be read: {error.strerror}", "Give yourself the right to it."
        ) from None
    if rights & 0o077:
        raise UnusableKey(f"the key {path} is open to others (mode {rights:04o})", f"chmod 600 {path}")
    locked = b"ENCRYPTED" in data
    if locked and passphrase is None:
        raise UnusableKey(f"the key {path} has a passphrase", "Say where it lies: --passphrase-from.")
    try:
        key = load_pem_private_key(data, passphrase.encode() if locked and passphrase is not None else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{path} is no Ed25519 key, or the passphrase is another", "Try again.")
    return signer_of(key)


def signer_of(key: Ed25519PrivateKey) -> CryptoSigner:
    """What signs metadata with this key."""
    return CryptoSigner(key, public_of(key.public_key()))


def public_of(key: Ed25519PublicKey) -> SSlibKey:
    """A public key as metadata has it."""
    return SSlibKey.from_crypto(key)
