"""A manager's repository: what is published is signed here, with keys that need not leave this machine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from ots.config.whole_file import write_whole
from ots.content import keys
from ots.content.layout import (
    CASES,
    DAY,
    DELEGATED,
    LICENCES,
    LICENCES_PATH,
    ONLINE,
    SERVERS,
    SERVERS_PATH,
    CaseName,
    case_name,
    hashed,
)
from ots.content.online import METADATA, TARGETS, Lives, freshen, moment, newest, read, read_root, switch

LIVES = {
    "root": 365 * DAY,
    "targets": 180 * DAY,
    CASES: 180 * DAY,
    SERVERS: 90 * DAY,
    LICENCES: 90 * DAY,
}
"""Seconds for which a role's metadata is good once signed."""

OFFLINE = ("root", "targets", *DELEGATED)


class PublishingError(Exception):
    """This can't be published; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Published:
    """One target as the metadata has it."""

    path: str
    sha256: str
    bytes: int
    title: str
    heavy: bool
    withdrawn: bool


class Repository:
    """A repository in a folder with its keys in `keys/`. Every change is signed and written at once.

    Where the online key lies here too, agents see a change as soon as `public/` is copied; otherwise when the
    server, which has that key, has taken it over.
    """

    def __init__(
        self, folder: Path, passphrase: str | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.public = folder / "public"
        self._passphrase = passphrase
        self._wall = wall
        if not newest(self.public, Root.type):
            raise PublishingError(f"there is no repository in {folder}", f"ots content init {folder}")

    @classmethod
    def create(
        cls,
        folder: Path,
        passphrase: str | None = None,
        online: Ed25519PublicKey | None = None,
        wall: Callable[[], float] = time.time,
    ) -> Repository:
        """A new one with new keys. `online` is the server's key; without it one is made here."""
        if newest(folder / "public", Root.type):
            raise PublishingError(f"there is a repository in {folder}", "Name another folder.")
        signers = {role: keys.make(folder / "keys" / f"{role}.pem", passphrase) for role in OFFLINE}
        online_key: Key
        if online is None:
            online_key = keys.make(folder / "keys" / "online.pem", None).public_key
        else:
            online_key = keys.public_of(online)
        root = Root(consistent_snapshot=True)
        for role in ("root", "targets"):
            root.add_key(signers[role].public_key, role)
        for role in ONLINE:
            root.add_key(online_key, role)
        delegated = {
            role: DelegatedRole(role, [signers[role].public_key.keyid], 1, True, [f"{role}/*"])
            for role in DELEGATED
        }
        known: dict[str, Key] = {
            signers[role].public_key.keyid: signers[role].public_key for role in DELEGATED
        }
        now = wall()
        for role in DELEGATED:
            _sign(folder / "public", role, Targets(), [signers[role]], now, first=True)
        top = Targets(delegations=Delegations(known, delegated))
        _sign(folder / "public", "targets", top, [signers["targets"]], now, first=True)
        _sign(folder / "public", "root", root, [signers["root"]], now, first=True)
        made = cls(folder, passphrase, wall)
        made.put_online()
        return made

    @property
    def has_online_key(self) -> bool:
        return (self.folder / "keys" / "online.pem").exists()

    def root(self) -> Metadata[Root]:
        """The newest root."""
        return read_root(self.public)

    def role(self, role: str) -> Targets:
        """What a role says, newest version."""
        return read(self.public, f"{newest(self.public, role)}.{role}.json", Targets).signed

    def published(self) -> list[Published]:
        """Every target, withdrawn cases too."""
        found = []
        for role in DELEGATED:
            for path, target in sorted(self.role(role).targets.items()):
                said: dict[str, Any] = target.custom or {}
                found.append(
                    Published(
                        path,
                        target.hashes["sha256"],
                        target.length,
                        str(said.get("title", "")),
                        bool(said.get("heavy")),
                        bool(said.get("withdrawn")),
                    )
                )
        return found

    def publish_case(self, name: CaseName, text: bytes, *, title: str, heavy: bool) -> bool:
        """Publishes a case that was checked; False if these bytes are published already.

        Raises PublishingError where other bytes have this id and version, or it was withdrawn.
        """
        role = self.role(CASES)
        present = role.targets.get(name.path)
        if present is not None:
            if present.hashes["sha256"] != hashlib.sha256(text).hexdigest():
                raise PublishingError(
                    f"{name} is published with other content, and a published version never changes",
                    f"Give the case version {self.newest_version(name.id) + 1}.",
                )
            if (present.custom or {}).get("withdrawn"):
                raise PublishingError(f"{name} was withdrawn", "Publish it under a new version.")
            return False
        self._put(role, CASES, name.path, text, {"title": title, "heavy": heavy})
        return True

    def newest_version(self, case_id: str) -> int:
        """The highest version of a case that was ever published; 0 if none."""
        names = (case_name(path) for path in self.role(CASES).targets)
        return max((name.version for name in names if name is not None and name.id == case_id), default=0)

    def withdraw_case(self, name: CaseName) -> None:
        """Takes a version from the agents; its bytes stay on record. Raises PublishingError."""
        role = self.role(CASES)
        target = role.targets.get(name.path)
        if target is None:
            raise PublishingError(f"{name} is not published", "ots content list shows what is.")
        target.unrecognized_fields["custom"] = {**(target.custom or {}), "withdrawn": True}
        self._save(CASES, role)

    def publish_servers(self, document: bytes) -> None:
        """Replaces the server list, which the caller has checked."""
        self._put(self.role(SERVERS), SERVERS, SERVERS_PATH, document, {})

    def publish_licences(self, issuers: Sequence[str], revocations: Sequence[str]) -> None:
        """Replaces the issuers' keys and the signed revocation lists, which the caller has checked."""
        document = {"issuers": list(issuers), "revocations": list(revocations)}
        data = json.dumps(document, indent=2).encode() + b"\n"
        self._put(self.role(LICENCES), LICENCES, LICENCES_PATH, data, {})

    def renew(self, roles: Sequence[str]) -> None:
        """Signs roles again, with a new end of their time."""
        for role in roles:
            if role == "root":
                _sign(self.public, "root", self.root().signed, [self._signer("root")], self._wall())
            else:
                self._save(role, self.role(role), online=False)
        self.put_online()

    def rotate(self, role: str, online: Ed25519PublicKey | None = None) -> None:
        """Gives a role a new key; the old one is kept aside. `online` may be given the server's."""
        path = self.folder / "keys" / f"{role}.pem"
        above = self._signer("targets" if role in DELEGATED else "root")  # before any key is touched
        if online is None:
            if path.exists():
                path.rename(path.with_name(f"{role}.{int(self._wall())}.old.pem"))
            new: Key = keys.make(path, None if role == "online" else self._passphrase).public_key
        else:
            path.unlink(missing_ok=True)
            new = keys.public_of(online)
        if role in DELEGATED:
            targets = self.role("targets")
            assert targets.delegations is not None and targets.delegations.roles is not None
            for keyid in list(targets.delegations.roles[role].keyids):
                targets.revoke_key(keyid, role)
            targets.add_key(new, role)
            self._save("targets", targets, online=False)
            self._save(role, self.role(role), online=False)
        else:
            root = self.root().signed
            for one in ONLINE if role == "online" else (role,):
                for keyid in list(root.roles[one].keyids):
                    root.revoke_key(keyid, one)
                root.add_key(new, one)
            signers = [above, self._signer("root")] if role == "root" else [above]
            _sign(self.public, "root", root, signers, self._wall())
            if role == "targets":
                self._save("targets", self.role("targets"), online=False)
        self.put_online()

    def put_online(self, lives: Lives | None = None) -> bool:
        """Serves what is newest, where the online key lies here; False where only the server can."""
        if not self.has_online_key:
            return False
        signer = keys.load(self.folder / "keys" / "online.pem", None)
        versions = {role: newest(self.public, role) for role in ("targets", *DELEGATED)}
        switch(self.public, versions, signer, self._wall(), lives or LONGER)
        return True

    def freshen(self, lives: Lives | None = None) -> bool:
        """Renews snapshot and timestamp alone; False where the server does that."""
        if not self.has_online_key:
            return False
        signer = keys.load(self.folder / "keys" / "online.pem", None)
        return freshen(self.public, signer, self._wall(), lives or LONGER, force=True)

    def _put(self, role: Targets, name: str, path: str, data: bytes, custom: dict[str, Any]) -> None:
        target = TargetFile.from_data(path, data, ["sha256"])
        if custom:
            target.unrecognized_fields["custom"] = custom
        write_whole(self.public / TARGETS / hashed(path, target.hashes["sha256"]), data)
        role.targets[path] = target
        self._save(name, role)

    def _save(self, name: str, role: Targets, *, online: bool = True) -> None:
        _sign(self.public, name, role, [self._signer(name)], self._wall())
        if online:
            self.put_online()

    def _signer(self, role: str) -> CryptoSigner:
        return keys.load(self.folder / "keys" / f"{role}.pem", self._passphrase)


LONGER = Lives(snapshot=30 * DAY, timestamp=30 * DAY)
"""A static host renews nothing by itself, so that what a person put there must be good for longer."""


def _sign(
    public: Path,
    name: str,
    part: Root | Targets,
    signers: Sequence[CryptoSigner],
    now: float,
    *,
    first: bool = False,
) -> None:
    """The next version of a role's metadata, signed, in its file."""
    part.version = 1 if first else part.version + 1
    part.expires = moment(now + LIVES[name])
    made: Metadata[Any] = Metadata(part)
    for signer in signers:
        made.sign(signer, append=True)
    write_whole(public / METADATA / f"{part.version}.{name}.json", made.to_bytes())
