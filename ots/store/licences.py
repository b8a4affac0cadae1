"""The licences of an installation: how they stand, and how one is installed, withdrawn or replaced.

What changes is replaced whole and is on the disk before it counts: a reader finds the old state or the new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ots.config.whole_file import write_whole
from ots.i18n import _
from ots.license import trusted_time
from ots.license.document import Licence, Revocations, instant, moment
from ots.license.installed import Examiner, Keys, Standing, Standings, issuer_keys, signed_revocations
from ots.license.state import Holder
from ots.license.tiers import TIERS
from ots.license.trusted_time import Memory
from ots.license.types import WISH
from ots.signing.keys import UnusableKey, load_or_make, write_public
from ots.signing.statement import sign
from ots.store import licence_files as files
from ots.store.error import StoreError, explained
from ots.store.folder import make_private
from ots.store.liveness import exclusive


class NotInstalled(Exception):
    """A licence was not taken; what stands is as it was. `standing` says how the licence stands."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.reason or standing.state)
        self.standing = standing


class Licences:
    """The licences in a data folder, as its agent may use them.

    `issuers` are the public keys that the settings name, beside those that enrolment brought. `warnings` tell
    what can't be read or isn't believed: in reading, trouble only narrows to `default`.
    """

    def __init__(self, folder: Path, agent_id: str, issuers: Sequence[str] = ()) -> None:
        self.warnings: list[str] = []
        self._folder = folder
        self._agent_id = agent_id
        self._issuers = issuers

    def standings(self, wall: float) -> Standings:
        """How all installed licences stand when the machine's clock says `wall`."""
        found = self.examiner().examine(self._texts(), wall)
        return replace(found, warnings=tuple(dict.fromkeys(self.warnings)))

    def in_force(self, wall: float) -> Standings:
        """As `standings`, for a run: the licence in force is remembered.

        So a file that took the place of another counts as much as one that was installed.
        """
        found = self.standings(wall)
        chosen = found.chosen
        if chosen is None or chosen.licence is None:
            return found
        newest, _its_id = found.examiner.memory.newest.get(chosen.line, (0, ""))
        if newest >= chosen.licence.serial:
            return found
        try:
            with self._changing():
                self._remember(_noted(self.examiner().memory, chosen, chosen.licence))
        except StoreError as error:
            return replace(found, warnings=(*found.warnings, str(error)))
        return found

    def examiner(self) -> Examiner:
        """What is trusted and known here at this moment."""
        memory = files.read_memory(self._folder, files.memory_key(self._folder))
        place = files.enrolled_place(self._folder, self.warnings.append)
        if place.heard_at is not None:
            memory = trusted_time.heard(memory, place.heard_at + place.offset, place.heard_at)
        keys = self._keys()
        holder = Holder(self._agent_id, place.department, place.project)
        return Examiner(keys, holder, memory, self._lists(keys))

    def install(self, text: str, wall: float, *, allow_downgrade: bool = False) -> Standing:
        """Puts a licence beside the others, in place of the older ones of its line.

        Raises NotInstalled unless it is honoured, or will be when its time comes. With `allow_downgrade` an
        older one of the line replaces the newer, if its tier is no stronger than the one in force. Raises
        StoreError where it can't be written.
        """
        with self._changing():
            examiner = self.examiner()
            standing = self._candidate(examiner, text, wall, allow_downgrade=allow_downgrade)
            licence = standing.licence
            if licence is None or not (standing.honoured or standing.state == "not-yet-valid"):
                raise NotInstalled(standing)
            make_private(self._folder / files.LICENCES)
            place = self._folder / files.LICENCES / f"{licence.licence_id}{files.SUFFIX}"
            write_whole(place, _line(text))
            if standing.honoured:
                self._retire(examiner, standing, wall, all_others=allow_downgrade)
                self._remember(_noted(examiner.memory, standing, licence))
        return standing

    def install_revocations(self, text: str) -> Revocations | None:
        """Takes a revocation list, unless the present one is as new, and gives the one that holds then.

        None if the text is no list that an issuer has signed.
        """
        with self._changing():
            examiner = self.examiner()
            found = signed_revocations(text, examiner.keys)
            if found is None:
                return None
            signer, offered = found
            present = examiner.lists.get(signer, Revocations())
            remembered = examiner.memory.revocations.get(signer, 0)
            if offered.serial <= present.serial or offered.serial < remembered:
                return present
            make_private(self._folder / files.REVOCATIONS)
            write_whole(self._folder / files.REVOCATIONS / f"{signer}{files.SUFFIX}", _line(text))
            serials = {**examiner.memory.revocations, signer: offered.serial}
            self._remember(replace(examiner.memory, revocations=serials))
            return offered

    def request(self, tier: str, note: str, wall: float) -> str:
        """A request for a licence of this tier, signed with the agent's key, which is made if need be."""
        with self._changing():
            key = load_or_make(self._folder / files.AGENT_KEY)
            wish = {
                "agent_id": self._agent_id,
                "public_key": write_public(key.public_key()),
                "tier": tier,
                "note": note,
                "issued_at": instant(wall),
            }
            return sign(wish, WISH, key)

    def withdraw(self, licence_ids: Iterable[str]) -> None:
        """Notes that an authenticated server has withdrawn these licences."""
        with self._changing():
            self._remember(trusted_time.withdrawn(self.examiner().memory, licence_ids))

    def heard(self, server_time: float, wall: float) -> None:
        """Notes the time that an authenticated server stated when the machine's clock said `wall`."""
        with self._changing():
            self._remember(trusted_time.heard(self.examiner().memory, server_time, wall))

    def _candidate(self, examiner: Examiner, text: str, wall: float, *, allow_downgrade: bool) -> Standing:
        found = examiner.examine({"": text}, wall).all[""]
        licence = found.licence
        if licence is None or found.state != "serial-rollback" or not allow_downgrade:
            return found
        chosen = examiner.examine(self._texts(), wall).chosen
        present = "default" if chosen is None or chosen.licence is None else chosen.licence.tier
        if TIERS.index(licence.tier) > TIERS.index(present):
            return found
        lowered = _noted(examiner.memory, found, licence)
        return replace(examiner, memory=lowered).examine({"": text}, wall).all[""]

    def _retire(self, examiner: Examiner, new: Standing, wall: float, *, all_others: bool) -> None:
        """Takes away what a new licence replaces: the older ones of its line, or all others of it."""
        for name, other in examiner.examine(self._texts(), wall).all.items():
            if other.licence is None or new.licence is None or other.line != new.line:
                continue
            if other.licence.licence_id == new.licence.licence_id:
                continue
            if all_others or other.licence.serial < new.licence.serial:
                (self._folder / files.LICENCES / name).unlink(missing_ok=True)

    def _texts(self) -> Mapping[str, str]:
        return files.signed_texts(self._folder / files.LICENCES, self.warnings.append)

    def _lists(self, keys: Keys) -> Mapping[str, Revocations]:
        """The newest revocation list of each key that is trusted."""
        newest: dict[str, Revocations] = {}
        texts = files.signed_texts(self._folder / files.REVOCATIONS, self.warnings.append)
        for text in texts.values():
            found = signed_revocations(text, keys)
            if found is not None and found[1].serial >= newest.get(found[0], Revocations()).serial:
                newest[found[0]] = found[1]
        return newest

    def _keys(self) -> Keys:
        written = [*self._issuers, *files.enrolled_issuers(self._folder, self.warnings.append)]
        found: dict[str, Ed25519PublicKey] = {}
        for text in written:
            try:
                found.update(issuer_keys([text]))
            except ValueError:
                self.warnings.append(_("{key!r} is no public key of an issuer").format(key=text[:60]))
        return found

    def _remember(self, memory: Memory) -> None:
        load_or_make(self._folder / files.AGENT_KEY)
        key = files.memory_key(self._folder)
        if key is not None:
            write_whole(self._folder / files.MEMORY, trusted_time.seal(memory, key))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time. Raises StoreError for what the file system or the agent's key refuse."""
        with explained(self._folder):
            make_private(self._folder)
            with exclusive(self._folder / f".{files.LICENCES}.lock"):
                try:
                    yield
                except UnusableKey as error:
                    raise StoreError(f"{error}.", error.remedy) from None


def _noted(memory: Memory, standing: Standing, licence: Licence) -> Memory:
    """The memory after this licence came into force."""
    told = trusted_time.heard(memory, moment(licence.issued_at))
    return trusted_time.in_force(told, standing.line, licence.serial, licence.licence_id)


def _line(text: str) -> bytes:
    return text.strip().encode("ascii") + b"\n"
