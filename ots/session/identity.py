"""Identifiers that sort by time (UUID version 7, RFC 9562 §5.7)."""

from __future__ import annotations

import secrets
import uuid


def uuid7(wall: float) -> str:
    """A new UUIDv7: 48 bits of milliseconds since 1970, then version, variant and 74 random bits."""
    milliseconds = int(wall * 1000) & (1 << 48) - 1
    high = secrets.randbits(12)
    low = secrets.randbits(62)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low))
