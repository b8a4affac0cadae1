"""Proofs about files: that an agent signed one as a report, that a server keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ots.remote import wire
from ots.remote.identity import KEY_FILE, Identity
from ots.remote.membership import MembershipError, read_membership
from ots.signing.keys import key_id, load_or_make, read_public
from ots.signing.statement import StatementError, sign, verify
from ots.store import Entry

SIGNATURE_SUFFIX = ".sig"
RECEIPT_SUFFIX = ".receipt"

Statement = TypeVar("Statement")


class Unproven(Exception):
    """Nothing is proven; `fault` says why, for a machine."""

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def sign_report(document: bytes, *, report_id: str, revision: int, seq: int, who: Identity) -> str:
    """The agent's statement that these exact bytes are this revision of its report."""
    claim = wire.ReportClaim(
        agent_id=who.agent_id,
        report_id=report_id,
        revision=revision,
        seq=seq,
        sha256=hashlib.sha256(document).hexdigest(),
        size=len(document),
    )
    return sign(msgspec.to_builtins(claim), wire.REPORT, who.key)


def signed_by_agent(data: bytes, statement: str, keys: Mapping[str, Ed25519PublicKey]) -> wire.ReportClaim:
    """What an agent said of exactly these bytes. Raises Unproven."""
    claim = _read(statement, wire.REPORT, keys, wire.ReportClaim)
    if claim.size != len(data):
        raise Unproven("changed", f"the signature is for {claim.size} B, the file has {len(data)} B")
    _same(data, claim.sha256, claim.report_id, claim.revision)
    return claim


def kept_by_server(data: bytes, statement: str, keys: Mapping[str, Ed25519PublicKey]) -> wire.Receipt:
    """What a server said of exactly these bytes. Raises Unproven."""
    receipt = _read(statement, wire.RECEIPT, keys, wire.Receipt)
    _same(data, receipt.sha256, receipt.report_id, receipt.revision)
    return receipt


def check_kept(
    statement: str, entry: Entry, sha256: str, keys: Mapping[str, Ed25519PublicKey]
) -> wire.Receipt:
    """The receipt for what was sent of a report; `sha256` is that of the sent bytes. Raises Unproven."""
    receipt = _read(statement, wire.RECEIPT, keys, wire.Receipt)
    found = (receipt.agent_id, receipt.report_id, receipt.revision, receipt.sha256)
    if found != (entry.agent_id, entry.report_id, entry.revision, sha256):
        raise Unproven("another-report", "the receipt is about another report")
    return receipt


def given_key(text: str) -> Mapping[str, Ed25519PublicKey]:
    """The key written as 43 characters. Raises Unproven."""
    try:
        key = read_public(text.strip())
    except ValueError as error:
        raise Unproven("no-key", str(error)) from None
    return {key_id(key): key}


def own_key(folder: Path) -> Mapping[str, Ed25519PublicKey]:
    """The key of this installation. Raises Unproven where it has none, UnusableKey."""
    if not (folder / KEY_FILE).exists():
        raise Unproven("no-key", "this machine has no key of its own yet")
    private: Ed25519PrivateKey = load_or_make(folder / KEY_FILE)
    key = private.public_key()
    return {key_id(key): key}


def server_keys(folder: Path) -> Mapping[str, Ed25519PublicKey]:
    """The pinned keys of this agent's server. Raises Unproven where it belongs to none."""
    try:
        membership = read_membership(folder)
    except MembershipError as error:
        raise Unproven("no-key", str(error)) from None
    if membership is None:
        raise Unproven("no-key", "this machine belongs to no server")
    return membership.trusted_receipts()


def _read(statement: str, typ: str, keys: Mapping[str, Ed25519PublicKey], kind: type[Statement]) -> Statement:
    try:
        return msgspec.convert(verify(statement, typ, keys), kind)
    except StatementError as error:
        raise Unproven(error.fault, str(error)) from None
    except msgspec.ValidationError as error:
        raise Unproven("malformed", str(error)) from None


class _Named(msgspec.Struct):
    report_id: str
    revision: int


def _same(data: bytes, sha256: str, report_id: str, revision: int) -> None:
    """The bytes are those that were signed, and they are the report that they are said to be."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Unproven("changed", "the file is not what was signed: its hash differs")
    try:
        named = msgspec.json.decode(data, type=_Named)
    except (msgspec.MsgspecError, RecursionError):
        raise Unproven("no-report", "the file is no report") from None
    if (named.report_id, named.revision) != (report_id, revision):
        raise Unproven("another-report", "the statement is about another report than the file holds")
