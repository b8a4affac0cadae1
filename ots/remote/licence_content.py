"""From the signed content to the licences: whose licences are honoured, and which were withdrawn."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from ots.config.agent import agent_id
from ots.config.whole_file import write_whole
from ots.content.held import read_target
from ots.content.layout import MAX_LICENCES
from ots.license.installed import issuer_keys
from ots.store import StoreError
from ots.store.licence_files import CONTENT_ISSUERS
from ots.store.licences import Licences


class LicenceDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`licences/licences.json`: public keys of issuers (43 characters), and signed revocation lists (JWS)."""

    issuers: list[str] = []
    revocations: list[str] = []


def read_document(data: bytes) -> LicenceDocument:
    """The document; ValueError for what is none, or names a key that is none."""
    try:
        found = msgspec.json.decode(data, type=LicenceDocument)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
    issuer_keys(found.issuers)
    return found


def take_licences(data: Path, sha256: str | None, troubles: list[str]) -> None:
    """Hands the document on to the licences; without one, the issuers that one named are gone. OSError.

    A revocation list once taken stays: it holds for the key that signed it, if that is still trusted.
    """
    place = data / CONTENT_ISSUERS
    if sha256 is None:
        place.unlink(missing_ok=True)
        return
    try:
        document = read_document(read_target(data, sha256, MAX_LICENCES))
    except ValueError as error:
        troubles.append(f"the licence document is not used: {error}")
        return
    write_whole(place, json.dumps(document.issuers).encode())
    licences = Licences(data, agent_id(data))
    try:
        for text in document.revocations:
            if licences.install_revocations(text) is None:
                troubles.append(
                    "a list of withdrawn licences is not used: no issuer that is trusted signed it"
                )
    except StoreError as error:
        troubles.append(f"a list of withdrawn licences was not kept: {error}")
