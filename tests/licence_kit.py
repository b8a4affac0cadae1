"""An issuer and installations for tests of licences: real keys, signatures and files; time is an argument."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.license import issue
from ots.license.document import Binding, Licence, Subject, instant, moment
from ots.license.entitlement import Rights
from ots.license.installed import Standings
from ots.license.tiers import Tier
from ots.license.types import LICENCE
from ots.signing.keys import write_public
from ots.signing.statement import sign
from ots.store.licence_files import ENROLMENT, ISSUERS, LICENCES, REVOCATIONS
from ots.store.licences import Licences

DAY = 86_400.0
NOW = moment("2027-03-01T12:00:00Z")
SUBJECT = Subject(org="ACME", department="field", project="P-17")


@dataclass
class Issuer:
    """Somebody with a key that signs licences."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return write_public(self.key.public_key())

    def licence(
        self,
        binding: Binding,
        *,
        serial: int = 1,
        tier: Tier = "professional",
        now: float = NOW,
        subject: Subject = SUBJECT,
        **more: Any,
    ) -> Licence:
        return issue.new_licence(tier, subject, binding, serial, now, **more)

    def text(self, licence: Licence) -> str:
        return issue.sign_licence(licence, self.key)

    def altered(self, licence: Licence, **changes: Any) -> str:
        """Signs what no honest issuer would: the licence's fields, changed at will."""
        return sign({**msgspec.to_builtins(licence), **changes}, LICENCE, self.key)


@dataclass
class Installation:
    """A data folder whose agent trusts these issuers."""

    folder: Path
    issuers: tuple[str, ...] = ()
    agent_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    project: str | None = "P-17"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asked_server(None)

    def asked_server(self, at: float | None, *, offset: float = 0.0) -> None:
        """Writes what an enrolled agent notes of its server, asked when its own clock said `at`."""
        stated = {
            "department": "field",
            "project": self.project,
            "refreshed_at": None if at is None else instant(at),
            "clock_offset": offset,
        }
        (self.folder / ENROLMENT).write_text(json.dumps(stated))

    @property
    def licences(self) -> Licences:
        return Licences(self.folder, self.agent_id, self.issuers)

    @property
    def mine(self) -> Binding:
        return issue.for_agents([self.agent_id])

    @property
    def list_file(self) -> Path:
        """The only revocation list."""
        (path,) = self.folder.glob(f"{REVOCATIONS}/*")
        return path

    def lay(self, texts: Mapping[str, str]) -> None:
        """Puts files into the folder of licences, past every check."""
        for name, text in texts.items():
            place = self.folder / LICENCES / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def trust(self, *keys: str) -> Path:
        """Writes the keys as enrolment does."""
        path = self.folder / ISSUERS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(keys))
        path.chmod(0o600)
        return path

    def standings(self, wall: float = NOW) -> Standings:
        return self.licences.standings(wall)

    def state(self, wall: float = NOW) -> str:
        """The state of the only licence."""
        (standing,) = self.standings(wall).all.values()
        return standing.state

    def rights(self, wall: float = NOW) -> Rights:
        return Rights({}, lambda: self.standings(wall))


def install_and_die(here: Installation, text: str) -> None:
    """For a process of its own: is killed when the licence is written and not yet in its place."""
    os.replace = lambda *_paths: os.kill(os.getpid(), signal.SIGKILL)
    here.licences.install(text, NOW)


def install_all(here: Installation, texts: Iterable[str]) -> None:
    """For a process of its own: installs one licence after the other."""
    for text in texts:
        here.licences.install(text, NOW)
