"""Secrets that the server hands out once: a public part to find the row by, and a hash of the rest."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Secret:
    """`text` is shown once; `id` and `hash` are kept. It has 160 bits, so that no slow hash is needed."""

    text: str
    id: str
    hash: str


def new_secret(prefix: str) -> Secret:
    """`prefix-xxxxxxxx-…32 characters…`, from letters and digits that can't be mistaken for each other."""
    public = "".join(secrets.choice(_LETTERS) for _ in range(8))
    hidden = "".join(secrets.choice(_LETTERS) for _ in range(32))
    return Secret(f"{prefix}-{public}-{hidden}", public, hash_of(hidden))


def hash_of(hidden: str) -> str:
    return hashlib.sha256(hidden.encode()).hexdigest()


def split(prefix: str, text: str) -> tuple[str, str] | None:
    """The public part and the hash of the hidden one; None where the text is no secret of this kind."""
    found = re.fullmatch(rf"{prefix}-([a-z0-9]{{8}})-([a-z0-9]{{32}})", text.strip())
    return None if found is None else (found[1], hash_of(found[2]))


def same(one: str, other: str) -> bool:
    """Compares without telling by its time where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
