"""Which server this agent belongs to: one file in the data folder, always written whole.

The keys in it are pinned when the agent enrols and change only when it enrols again: a server that signs with
others is another one, and takes nothing off the queue.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ots.config.whole_file import write_whole
from ots.content import held as content
from ots.remote import wire
from ots.remote.enrolled import FILE
from ots.signing.keys import key_id, read_public

LICENCE_ISSUERS = "licence-issuers.json"
LICENCE = "licences/server.jws"
FORMAT = 1
_MAX_BYTES = 1 << 20


class MembershipError(Exception):
    """The membership can't be read or written; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Membership(msgspec.Struct, kw_only=True):
    """One server and this agent's place on it. Times are RFC 3339 UTC, `clock_offset` is in seconds.

    `ca` is the PEM text of the only authority to trust, null for the system's. `clock_offset` is what to add
    to this machine's clock to have the server's. `server_epoch` is the last that the server told, `epoch` the
    last after which it was asked what it lacks.
    """

    format: int = FORMAT
    url: str
    server_id: str
    server_name: str
    agent_id: str
    name: str
    status: wire.AgentStatus
    receipt_keys: list[str]
    command_keys: list[str] = []
    department: str | None = None
    project: str | None = None
    tier: str = "default"
    upload_interval: float = 0.0
    clock_offset: float = 0.0
    ca: str | None = None
    plain_http: bool = False
    enrolled_at: str
    refreshed_at: str | None = None
    server_epoch: str | None = None
    epoch: str | None = None

    def trusted_receipts(self) -> Mapping[str, Ed25519PublicKey]:
        """The pinned keys of receipts by their ids."""
        return _by_id(self.receipt_keys)

    def trusted_commands(self) -> Mapping[str, Ed25519PublicKey]:
        """The pinned keys of commands by their ids; none until a server that has one was asked."""
        return _by_id(self.command_keys)


def read_membership(folder: Path) -> Membership | None:
    """The membership kept in a data folder; None if there is none. Raises MembershipError."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_MAX_BYTES), type=Membership)
        found.trusted_receipts()
        found.trusted_commands()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MembershipError(
            f"{path} can't be read: {error.strerror or error}", "Give yourself the right to read it."
        ) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MembershipError(
            f"{path} is damaged: {error}",
            "Enrol again with `ots agent enroll`; reports that wait are kept meanwhile.",
        ) from None
    if found.format > FORMAT:
        raise MembershipError(f"{path} has format {found.format}; this OTS reads {FORMAT}", "Update OTS.")
    return found


def managed_from(folder: Path) -> str | None:
    """The URL of the server that manages this agent; None where there is none, or it can't be read."""
    try:
        found = read_membership(folder)
    except MembershipError:
        return None
    return None if found is None else found.url


def write_membership(folder: Path, membership: Membership) -> None:
    """Replaces the membership. Raises MembershipError."""
    _write(folder / FILE, msgspec.json.format(msgspec.json.encode(membership), indent=2))


def read_issuers(folder: Path) -> list[str]:
    """The keys that may issue licences, as enrolment and what followed it named them; none if unreadable."""
    try:
        found = msgspec.json.decode((folder / LICENCE_ISSUERS).read_bytes(), type=list[str])
        for text in found:
            read_public(text)
    except (OSError, msgspec.MsgspecError, ValueError):
        return []
    return found


def write_licence(folder: Path, issuers: list[str] | None, licence: str | None) -> None:
    """Hands on what the server says of licences: who may issue them, and the one for this agent."""
    if issuers is not None:
        _write(folder / LICENCE_ISSUERS, json.dumps(issuers).encode())
    if licence is not None:
        _write(folder / LICENCE, licence.strip().encode() + b"\n")
    else:
        (folder / LICENCE).unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """The agent belongs to no server any more, and has no licence and no signed content of one."""
    try:
        source = content.read_source(folder)
        with contextlib.suppress(MembershipError):
            membership = read_membership(folder)
            if membership and source and source.url == content.content_url(membership.url):
                content.forget(folder)
        (folder / FILE).unlink(missing_ok=True)
        (folder / LICENCE).unlink(missing_ok=True)
        (folder / LICENCE_ISSUERS).unlink(missing_ok=True)
    except OSError as error:
        raise MembershipError(f"{folder / FILE} can't be deleted: {error.strerror}", "Delete it.") from None


def _by_id(texts: list[str]) -> Mapping[str, Ed25519PublicKey]:
    keys = [read_public(text) for text in texts]
    return {key_id(key): key for key in keys}


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise MembershipError(
            f"{path} can't be written: {error.strerror or error}",
            "Free some space, or give yourself the right to write there.",
        ) from None
