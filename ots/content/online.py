"""Snapshot and timestamp: which versions belong together, and until when that is to be believed.

The key for both lies where the repository is served, so that they can be renewed every day. Whoever steals it
can hold agents back for as long as a timestamp is good, and sign nothing that an agent would run.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from ots.config.whole_file import write_whole
from ots.content.layout import DAY, versioned

Part = TypeVar("Part", Root, Timestamp, Snapshot, Targets)

METADATA, TARGETS = "metadata", "targets"


class Unserveable(Exception):
    """The repository can't be renewed or read; the message says why."""


@dataclass(frozen=True, slots=True)
class Lives:
    """How long a new snapshot and a new timestamp are good, in seconds."""

    snapshot: float = 7 * DAY
    timestamp: float = DAY


def moment(wall: float) -> datetime.datetime:
    """A time as metadata has it: whole seconds, UTC."""
    return datetime.datetime.fromtimestamp(int(wall), datetime.UTC)


def newest(public: Path, role: str) -> int:
    """The highest version of a role's metadata that lies here; 0 if there is none."""
    found = (versioned(path.name) for path in (public / METADATA).glob(f"*.{role}.json"))
    return max((one[0] for one in found if one is not None and one[1] == role), default=0)


def read(public: Path, name: str, kind: type[Part]) -> Metadata[Part]:
    """One metadata file. Raises Unserveable where it is missing or is none."""
    try:
        found = Metadata[Part].from_bytes((public / METADATA / name).read_bytes())
    except OSError as error:
        raise Unserveable(f"{name} can't be read: {error.strerror}") from None
    except RepositoryError as error:
        raise Unserveable(f"{name} is no metadata: {error}") from None
    if found.signed.type != kind.type:
        raise Unserveable(f"{name} is metadata of another kind: {found.signed.type}")
    return found


def read_root(public: Path) -> Metadata[Root]:
    """The newest root that lies here. Raises Unserveable."""
    return read(public, f"{newest(public, Root.type)}.root.json", Root)


def read_snapshot(public: Path) -> Metadata[Snapshot] | None:
    """The snapshot that the timestamp names; None where nothing was served yet. Raises Unserveable."""
    if not (public / METADATA / "timestamp.json").exists():
        return None
    timestamp = read(public, "timestamp.json", Timestamp).signed
    return read(public, f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot)


def role_file(public: Path, role: str) -> Metadata[Targets]:
    """A role's metadata as the snapshot names it. Raises Unserveable."""
    snapshot = read_snapshot(public)
    meta = None if snapshot is None else snapshot.signed.meta.get(f"{role}.json")
    if meta is None:
        raise Unserveable(f"nothing was published of {role}")
    return read(public, f"{meta.version}.{role}.json", Targets)


def switch(public: Path, versions: Mapping[str, int], signer: Signer, now: float, lives: Lives) -> None:
    """Serves these versions (role → version) from now on: the timestamp, which comes last, decides.

    Raises OSError; then what was served is served still.
    """
    files = {}
    for role, version in sorted(versions.items()):
        data = (public / METADATA / f"{version}.{role}.json").read_bytes()
        files[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])
    before = read_snapshot(public)
    version = 1 if before is None else before.signed.version + 1
    _write_online(
        public, Snapshot(version, expires=moment(now + lives.snapshot), meta=files), signer, now, lives
    )


def freshen(public: Path, signer: Signer, now: float, lives: Lives, *, force: bool = False) -> bool:
    """Renews snapshot and timestamp where half of their time is over; False if neither needed it.

    Raises Unserveable, OSError.
    """
    snapshot = read_snapshot(public)
    if snapshot is None:
        return False
    timestamp = read(public, "timestamp.json", Timestamp)
    root = read_root(public).signed
    if force or not _is_good(root, snapshot, signer, now + lives.snapshot / 2):
        made = Snapshot(
            snapshot.signed.version + 1,
            expires=moment(now + lives.snapshot),
            meta=snapshot.signed.meta,
        )
        _write_online(public, made, signer, now, lives)
        return True
    if not _is_good(root, timestamp, signer, now + lives.timestamp / 2):
        _write_timestamp(public, timestamp.signed.snapshot_meta, signer, now, lives)
        return True
    return False


def _is_good(root: Root, part: Metadata[Part], signer: Signer, until: float) -> bool:
    if part.signed.expires <= moment(until):
        return False
    try:
        root.verify_delegate(part.signed.type, part.signed_bytes, part.signatures)
    except RepositoryError:
        return False
    return signer.public_key.keyid in part.signatures


def _write_online(public: Path, made: Snapshot, signer: Signer, now: float, lives: Lives) -> None:
    part = Metadata(made)
    part.sign(signer)
    data = part.to_bytes()
    write_whole(public / METADATA / f"{made.version}.snapshot.json", data)
    _write_timestamp(public, MetaFile.from_data(made.version, data, ["sha256"]), signer, now, lives)


def _write_timestamp(public: Path, snapshot: MetaFile, signer: Signer, now: float, lives: Lives) -> None:
    known = (public / METADATA / "timestamp.json").exists()
    version = read(public, "timestamp.json", Timestamp).signed.version + 1 if known else 1
    part = Metadata(Timestamp(version, expires=moment(now + lives.timestamp), snapshot_meta=snapshot))
    part.sign(signer)
    write_whole(public / METADATA / "timestamp.json", part.to_bytes())
