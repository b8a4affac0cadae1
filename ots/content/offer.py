"""What a publisher offers a server: verified as agents will verify it, and taken as a whole or not at all.

The server holds no key but that of snapshot and timestamp, so it can refuse and delay, and invent nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from ots.config.whole_file import write_whole
from ots.content.layout import CASES, DELEGATED, MOST_CASES, ONLINE, case_name, hashed, limit_of, versioned
from ots.content.online import METADATA, TARGETS, Lives, Unserveable, moment, newest, read, read_root, switch

LIMIT = 48 << 20
"""Bytes of an offer as it travels."""


class NotTaken(Exception):
    """An offer is refused; what was served is served still."""


@dataclass(frozen=True, slots=True)
class Offer:
    """New metadata by file name (`3.cases.json`), and the bytes of new targets by their SHA-256."""

    metadata: Mapping[str, bytes]
    targets: Mapping[str, bytes]


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    metadata: dict[str, str]
    targets: dict[str, str] = {}


def pack(offer: Offer) -> bytes:
    """An offer as it travels: JSON, targets in base64."""
    return msgspec.json.encode(
        _Wire(
            {name: data.decode() for name, data in offer.metadata.items()},
            {sha: base64.b64encode(data).decode() for sha, data in offer.targets.items()},
        )
    )


def unpack(data: bytes) -> Offer:
    """The offer that travelled. Raises NotTaken for anything else."""
    try:
        found = msgspec.json.decode(data, type=_Wire)
        targets = {sha: base64.b64decode(text, validate=True) for sha, text in found.targets.items()}
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
        raise NotTaken(f"this is no offer of content: {error}") from None
    return Offer({name: text.encode() for name, text in found.metadata.items()}, targets)


def offer_of(public: Path, known: Mapping[str, int], held: frozenset[str]) -> Offer:
    """What lies in a publisher's folder and a server that has these versions and files does not have."""
    top = read(public, f"{newest(public, 'targets')}.targets.json", Targets).signed
    delegated = () if top.delegations is None or top.delegations.roles is None else top.delegations.roles
    names = [
        f"{version}.root.json" for version in range(known.get("root", 0) + 1, newest(public, "root") + 1)
    ]
    targets: dict[str, bytes] = {}
    for role in ("targets", *delegated):
        version = newest(public, role)
        if version > known.get(role, 0):
            names.append(f"{version}.{role}.json")
        for path, info in read(public, f"{version}.{role}.json", Targets).signed.targets.items():
            sha256 = info.hashes["sha256"]
            if sha256 not in held:
                targets[sha256] = (public / TARGETS / hashed(path, sha256)).read_bytes()
    return Offer({name: (public / METADATA / name).read_bytes() for name in names}, targets)


def held_files(public: Path) -> frozenset[str]:
    """The SHA-256 of every target that lies here."""
    return frozenset(path.name.partition(".")[0] for path in (public / TARGETS).glob("*/*"))


def served_versions(public: Path) -> dict[str, int]:
    """The versions that are served, by role; empty where nothing is. Raises Unserveable."""
    from ots.content.online import read_snapshot

    snapshot = read_snapshot(public)
    if snapshot is None:
        return {}
    roles = {name.removesuffix(".json"): meta.version for name, meta in snapshot.signed.meta.items()}
    return {"root": newest(public, "root"), **roles}


def take(public: Path, offer: Offer, signer: Signer, now: float, lives: Lives) -> dict[str, int]:
    """Takes an offer over and serves it; the versions served then. Raises NotTaken, Unserveable, OSError."""
    try:
        known = served_versions(public)
        roots = _roots(public, offer, signer, now)
        root = roots[max(roots)]
        top = _role(public, offer, known, "targets", root.signed, now)
        if top.signed.delegations is None or not top.signed.delegations.roles:
            raise NotTaken("targets delegates to nobody")
        strange = set(top.signed.delegations.roles) - set(DELEGATED)
        if strange:
            raise NotTaken(f"targets delegates to {sorted(strange)[0]!r}, which is no role of signed content")
        parts = {"targets": top}
        for role in top.signed.delegations.roles:
            parts[role] = _role(public, offer, known, role, top.signed, now)
    except RepositoryError as error:
        raise NotTaken(str(error)) from None
    _keep_promises(public, known, parts)
    files = _files(public, offer, parts)
    for place, data in files.items():
        write_whole(place, data)
    for name, data in offer.metadata.items():
        if not name.endswith(".root.json"):
            write_whole(public / METADATA / name, data)
    for version in sorted(roots):
        if f"{version}.root.json" in offer.metadata:
            write_whole(public / METADATA / f"{version}.root.json", offer.metadata[f"{version}.root.json"])
    versions = {role: part.signed.version for role, part in parts.items()}
    switch(public, versions, signer, now, lives)
    return served_versions(public)


def _roots(public: Path, offer: Offer, signer: Signer, now: float) -> dict[int, Metadata[Root]]:
    """The chain from the root that is served to the newest that is offered."""
    current = read_root(public) if newest(public, "root") else None
    found = {} if current is None else {current.signed.version: current}
    offered = sorted(
        version for version, role in map(_name, offer.metadata) if role == "root" and version not in found
    )
    for version in offered:
        made = Metadata[Root].from_bytes(offer.metadata[f"{version}.root.json"])
        if made.signed.type != "root" or made.signed.version != version:
            raise NotTaken(f"{version}.root.json is not root version {version}")
        if version != (1 if current is None else current.signed.version + 1):
            raise NotTaken(f"root version {version} does not follow the one that is served")
        (made if current is None else current).signed.verify_delegate(
            "root", made.signed_bytes, made.signatures
        )
        made.signed.verify_delegate("root", made.signed_bytes, made.signatures)
        found[version] = current = made
    if current is None:
        raise NotTaken("there is no root yet, and none is offered")
    if current.signed.expires <= moment(now):
        raise NotTaken("the root has expired")
    for role in ONLINE:
        if signer.public_key.keyid not in current.signed.roles[role].keyids:
            raise NotTaken(
                f"the root does not let this server's key sign {role}: ots content keys rotate online"
            )
    if not current.signed.consistent_snapshot:
        raise NotTaken("the root does not ask for consistent snapshots")
    return found


def _name(name: str) -> tuple[int, str]:
    found = versioned(name)
    if found is None or found[1] not in ("root", "targets", *DELEGATED):
        raise NotTaken(f"{name[:60]!r} is no file that a publisher signs")
    return found


def _role(
    public: Path, offer: Offer, known: Mapping[str, int], role: str, delegator: Root | Targets, now: float
) -> Metadata[Targets]:
    """A role's metadata, the offered one if there is any, verified; never older than what is served."""
    versions = [version for version, name in map(_name, offer.metadata) if name == role]
    if len(versions) > 1:
        raise NotTaken(f"two versions of {role} are offered")
    present = known.get(role, 0)
    if not versions:
        if not present:
            raise NotTaken(f"nothing is offered of {role}")
        found = read(public, f"{present}.{role}.json", Targets)
    else:
        data = offer.metadata[f"{versions[0]}.{role}.json"]
        found = Metadata[Targets].from_bytes(data)
        if found.signed.type != "targets" or found.signed.version != versions[0]:
            raise NotTaken(f"{versions[0]}.{role}.json is not version {versions[0]} of it")
        if found.signed.version < present:
            raise NotTaken(f"{role} {found.signed.version} is older than {present}, which is served")
        if (
            found.signed.version == present
            and data != (public / METADATA / f"{present}.{role}.json").read_bytes()
        ):
            raise NotTaken(f"another {role} {present} is served already")
    delegator.verify_delegate(role, found.signed_bytes, found.signatures)
    if found.signed.expires <= moment(now):
        raise NotTaken(f"{role} has expired")
    return found


def _keep_promises(public: Path, known: Mapping[str, int], parts: Mapping[str, Metadata[Targets]]) -> None:
    """A published version of a case keeps its bytes, and its place in the record, for ever."""
    if CASES not in known or CASES not in parts:
        return
    before = read(public, f"{known[CASES]}.{CASES}.json", Targets).signed.targets
    after = parts[CASES].signed.targets
    for path, info in before.items():
        if path not in after:
            raise NotTaken(f"{path} is no longer on record: withdraw it instead")
        if after[path].hashes != info.hashes:
            raise NotTaken(f"{path} has other content than before: give it a new version")


def _files(public: Path, offer: Offer, parts: Mapping[str, Metadata[Targets]]) -> dict[Path, bytes]:
    """Where each offered target belongs. Every file that the metadata names must be here or offered."""
    found: dict[Path, bytes] = {}
    for role, part in parts.items():
        if role != "targets" and len(part.signed.targets) > 2 * MOST_CASES:
            raise NotTaken(f"{role} names too many files")
        for path, info in part.signed.targets.items():
            _check_path(role, path, info)
            sha256 = info.hashes["sha256"]
            place = public / TARGETS / hashed(path, sha256)
            data = offer.targets.get(sha256)
            if data is None:
                if not place.exists():
                    raise NotTaken(f"{path} is named and not offered")
                continue
            if len(data) != info.length or hashlib.sha256(data).hexdigest() != sha256:
                raise NotTaken(f"{path} is not what the metadata says")
            found[place] = data
    return found


def _check_path(role: str, path: str, info: Any) -> None:
    if (
        not limit_of(path)
        or not path.startswith(f"{role}/")
        or (role == CASES) != (case_name(path) is not None)
    ):
        raise NotTaken(f"{path[:80]!r} is no file of signed content")
    if info.length > limit_of(path):
        raise NotTaken(f"{path} is larger than {limit_of(path)} B")
    if set(info.hashes) != {"sha256"}:
        raise NotTaken(f"{path} needs its SHA-256 and no other hash")


__all__ = [
    "LIMIT",
    "NotTaken",
    "Offer",
    "Unserveable",
    "held_files",
    "offer_of",
    "pack",
    "served_versions",
    "take",
    "unpack",
]
