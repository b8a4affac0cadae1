"""Which keys to trust beside the pinned ones: each is named by one that was trusted before. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ots.remote import wire
from ots.signing.keys import key_id, read_public
from ots.signing.statement import StatementError, verify

_MOST = 100
"""Statements that are looked at; a server whose keys changed more often has to be enrolled with anew."""


def followed(
    statements: Sequence[str], pinned: Sequence[str], purpose: wire.KeyPurpose, server_id: str
) -> list[str]:
    """The pinned keys and those that they lead to, oldest first. What proves nothing is passed over."""
    trusted = dict.fromkeys(pinned)
    for text in statements[:_MOST]:
        keys = {key_id(key): key for key in map(read_public, trusted)}
        try:
            said = msgspec.convert(verify(text, wire.SUCCESSION, keys), wire.Succession)
            read_public(said.key)
        except (StatementError, msgspec.ValidationError, ValueError):
            continue
        if (said.purpose, said.server_id) == (purpose, server_id):
            trusted[said.key] = None
    return list(trusted)
