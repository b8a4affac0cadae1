"""Licences as texts, read against trusted keys: which holds, which not and why, which one is in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ots.license.document import (
    Licence,
    Malformed,
    Revocations,
    Subject,
    moment,
    read_licence,
    read_revocations,
)
from ots.license.state import HONOURED, Holder, Known, State, state_of
from ots.license.tiers import TIERS
from ots.license.trusted_time import Memory, trusted_now
from ots.license.types import LICENCE, REVOCATIONS
from ots.signing.keys import decode64, key_id, read_public
from ots.signing.statement import StatementError, strict_object, verify

Keys = Mapping[str, Ed25519PublicKey]

_STATE_OF_FAULT: Mapping[str, State] = {
    "malformed": "malformed",
    "wrong-type": "malformed",
    "unknown-key": "unknown-key",
    "bad-signature": "bad-signature",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One licence and how it stands. `licence` is None where the signature proves nothing.

    `signer` is the id of the key that signed it.
    """

    name: str
    licence: Licence | None
    state: State
    reason: str = ""
    signer: str = ""

    @property
    def honoured(self) -> bool:
        return self.licence is not None and self.state in HONOURED

    @property
    def line(self) -> str:
        """What it has in common with the licences that it replaces, or that replace it."""
        return "" if self.licence is None else f"{self.signer}/{self.licence.line}"


@dataclass(frozen=True, slots=True)
class Standings:
    """Licences at `now` (trusted seconds since 1970), by name; the one in force, if any, is `chosen`."""

    all: Mapping[str, Standing]
    chosen: Standing | None
    now: float
    examiner: Examiner
    warnings: tuple[str, ...] = ()

    def state_at(self, standing: Standing, wall: float) -> State:
        """The state that one of these has when the machine's clock says `wall`, all else as it was read."""
        if standing.licence is None:
            return standing.state
        return self.examiner.state_of(standing, standing.licence, self.examiner.now(wall, [standing.licence]))

    @property
    def shown(self) -> Standing | None:
        """The one to speak of: in force, else the one that held last, else any."""
        if self.chosen is not None:
            return self.chosen
        return max(self.all.values(), key=_last_held, default=None)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Reads licences for one holder, with what is trusted and known; `lists` are by the key that signed."""

    keys: Keys
    holder: Holder
    memory: Memory
    lists: Mapping[str, Revocations]

    def examine(self, texts: Mapping[str, str], wall: float) -> Standings:
        """How each licence stands when the machine's clock says `wall`. `texts` are by any name.

        In force is, of those that are honoured, the highest serial for each subject, and of the subjects'
        licences the one with the strongest tier that holds longest. The order of `texts` means nothing.
        """
        read = [self._read(name, text) for name, text in sorted(texts.items())]
        now = self.now(wall, [found.licence for found in read if found.licence is not None])
        standings = {
            found.name: found
            if found.licence is None
            else replace(found, state=self.state_of(found, found.licence, now))
            for found in read
        }
        return Standings(standings, _choose(standings.values()), now, self)

    def now(self, wall: float, licences: Iterable[Licence]) -> float:
        """The trusted time when the machine's clock says `wall`; these licences have stated a time, too."""
        return trusted_now(wall, self.memory, [moment(licence.issued_at) for licence in licences])

    def state_of(self, standing: Standing, licence: Licence, now: float) -> State:
        """The state of a licence whose signature holds, at trusted time `now`."""
        memory = self.memory
        lists = list(self.lists.values())
        newest, its_id = memory.newest.get(standing.line, (0, ""))
        if its_id in memory.withdrawn or any(each.withdraw(its_id) for each in lists):
            newest = 0  # the issuer took the newer one back: an older one may hold again
        known = Known(lists, memory.withdrawn, newest, self.complete)
        return state_of(licence, self.holder, now, known)

    @property
    def complete(self) -> bool:
        """Whether every list that was here is here, as new as it was; those of keys no longer trusted don't
        count."""
        serials = {signer: revocations.serial for signer, revocations in self.lists.items()}
        remembered = self.memory.revocations.items()
        return all(serials.get(key, 0) >= serial for key, serial in remembered if key in self.keys)

    def _read(self, name: str, text: str) -> Standing:
        try:
            licence = read_licence(verify(text, LICENCE, self.keys))
        except StatementError as error:
            return Standing(name, None, _STATE_OF_FAULT[error.fault], str(error))
        except Malformed as error:
            return Standing(name, None, "malformed", str(error))
        return Standing(name, licence, "valid", signer=_signer(text))


def issuer_keys(written: Iterable[str]) -> Keys:
    """Public keys by key id. Raises ValueError for what is no public key."""
    keys = [read_public(text) for text in written]
    return {key_id(key): key for key in keys}


def signed_revocations(text: str, keys: Keys) -> tuple[str, Revocations] | None:
    """The revocation list that one of these keys has signed, and its id; None if the text is none."""
    try:
        revocations = read_revocations(verify(text, REVOCATIONS, keys))
    except (StatementError, Malformed):
        return None
    return _signer(text), revocations


def _signer(text: str) -> str:
    """The key id in the header of a verified statement."""
    return str(strict_object(decode64(text.strip().partition(".")[0]))["kid"])


def _choose(standings: Iterable[Standing]) -> Standing | None:
    newest: dict[Subject, tuple[Licence, Standing]] = {}
    for standing in standings:
        licence = standing.licence
        if licence is None or not standing.honoured:
            continue
        other = newest.get(licence.subject)
        if other is None or _age(licence) > _age(other[0]):
            newest[licence.subject] = licence, standing
    return max(newest.values(), key=lambda pair: _strength(pair[0]), default=(None, None))[1]


def _last_held(standing: Standing) -> tuple[float, str]:
    return (0.0 if standing.licence is None else moment(standing.licence.not_after)), standing.name


def _age(licence: Licence) -> tuple[int, str]:
    return licence.serial, licence.licence_id


def _strength(licence: Licence) -> tuple[int, float, str]:
    return TIERS.index(licence.tier), moment(licence.not_after), licence.licence_id
