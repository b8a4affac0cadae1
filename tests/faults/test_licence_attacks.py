"""Attacks on licences, numbered, each with the answer that was promised. What can't be tried here says why.

Most are tried twice: the file is offered to `install`, and it is put into the folder past every check.
"""

from __future__ import annotations

import base64
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from ots.commands.license_view import warnings
from ots.license import issue
from ots.license.document import Binding, Revoked, Subject, moment
from ots.license.entitlement import Rights
from ots.license.state import SKEW, refresh_at
from ots.license.trusted_time import EARLIEST
from ots.license.types import LICENCE
from ots.remote.wire import RECEIPT
from ots.signing.keys import key_id
from ots.signing.statement import sign
from ots.store.licence_files import ISSUERS, LICENCES, MEMORY, MOST_CHARACTERS
from ots.store.licences import NotInstalled
from tests.licence_kit import DAY, NOW, Installation, Issuer, install_all, install_and_die

SPAWN = multiprocessing.get_context("spawn")

GATED = "probe:voice_call"
"""Only `professional` covers it."""

ANSWERED: dict[int, str] = {}
ATTACKS: list[Any] = []

ELSEWHERE = {
    22: "there is no file of the default licence that could be edited: `default` is code (docs/design/022)",
    23: "who changes the program on his own machine can't be stopped by it; the server decides by its own "
    "record what it stores and starts, whatever an agent says",
    24: "the server's part: it judges an upload by its own record of the agent's licence",
}
"""Attacks that have no test in this file, and why."""

Attack = Callable[[Installation, Issuer], None]


def attack(number: int, what: str) -> Callable[[Attack], Attack]:
    def add(trial: Attack) -> Attack:
        ANSWERED[number] = what
        ATTACKS.append(pytest.param(trial, id=f"{number:02}-{trial.__name__.strip('_')}"))
        return trial

    return add


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def here(tmp_path: Path, issuer: Issuer) -> Installation:
    return Installation(tmp_path / "data", (issuer.public,))


def falls_to_default(here: Installation, text: str, state: str, wall: float = NOW) -> None:
    """`install` refuses the text and leaves nothing; in the folder it counts for nothing; it is told why."""
    with pytest.raises(NotInstalled) as refused:
        here.licences.install(text, wall)
    assert refused.value.standing.state == state
    assert not list(here.folder.glob(f"{LICENCES}/*"))
    here.lay({"offered.jws": text})
    rights = here.rights(wall)
    assert here.state(wall) == state
    assert rights.tier == "default"
    assert rights.refusal(GATED) is not None
    assert rights.refusal("probe:ping") is None
    (said,) = warnings(rights)
    assert "offered.jws" in said


def parts(text: str) -> list[str]:
    return text.split(".")


def flipped(part: str, at: int) -> str:
    """The base64url of the same bytes with one bit of one byte turned."""
    data = bytearray(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    data[at] ^= 1
    return base64.urlsafe_b64encode(bytes(data)).rstrip(b"=").decode()


def raw(payload: bytes, issuer: Issuer, typ: str = LICENCE) -> str:
    """Signs bytes as they are."""
    header = {"alg": "Ed25519", "typ": typ, "kid": key_id(issuer.key.public_key())}
    return jws.serialize_compact(header, payload, OKPKey.import_key(issuer.key), algorithms=["Ed25519"])


@attack(1, "one byte of the payload flipped")
def _payload_changed(here: Installation, issuer: Issuer) -> None:
    header, payload, signature = parts(issuer.text(issuer.licence(here.mine)))
    falls_to_default(here, ".".join((header, flipped(payload, 40), signature)), "bad-signature")


@attack(2, "one byte of the signature flipped")
def _signature_changed(here: Installation, issuer: Issuer) -> None:
    header, payload, signature = parts(issuer.text(issuer.licence(here.mine)))
    falls_to_default(here, ".".join((header, payload, flipped(signature, 10))), "bad-signature")


@attack(3, "the signature taken away")
def _signature_removed(here: Installation, issuer: Issuer) -> None:
    header, payload, _signature = parts(issuer.text(issuer.licence(here.mine)))
    falls_to_default(here, f"{header}.{payload}.", "bad-signature")


@attack(4, "signed by a key that issues no licences")
def _another_key(here: Installation, issuer: Issuer) -> None:
    falls_to_default(here, Issuer().text(issuer.licence(here.mine)), "unknown-key")


@attack(5, "signed by a key that is good for something else: the server's receipts")
def _key_of_another_role(here: Installation, issuer: Issuer) -> None:
    here.trust(issuer.public)
    receipts = Issuer()
    falls_to_default(here, receipts.text(issuer.licence(here.mine)), "unknown-key")


@attack(6, "a well-signed statement of another type offered as a licence")
def _another_type(here: Installation, issuer: Issuer) -> None:
    plain = msgspec.to_builtins(issuer.licence(here.mine))
    falls_to_default(here, sign(plain, RECEIPT, issuer.key), "malformed")


@attack(7, "the key id of a trusted issuer over a signature of somebody else")
def _borrowed_key_id(here: Installation, issuer: Issuer) -> None:
    licence = issuer.licence(here.mine)
    header, _payload, _signature = parts(issuer.text(licence))
    _header, payload, _signature = parts(Issuer().text(licence))
    forger = Issuer()
    signature = forger.key.sign(f"{header}.{payload}".encode())
    written = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    falls_to_default(here, f"{header}.{payload}.{written}", "bad-signature")


@attack(8, "a name twice in the JSON")
def _duplicate_name(here: Installation, issuer: Issuer) -> None:
    plain = json.dumps(msgspec.to_builtins(issuer.licence(here.mine, tier="friendly")))
    twice = plain[:-1] + ', "tier": "professional"}'
    falls_to_default(here, raw(twice.encode(), issuer), "malformed")


@attack(9, "the tier written into files beside the licence")
def _sidecar(here: Installation, issuer: Issuer) -> None:
    here.licences.install(issuer.text(issuer.licence(here.mine, tier="friendly")), NOW)
    better = json.dumps({"tier": "professional", "state": "valid"})
    here.lay({name: better for name in ("cache.json", ".licence.jws", "tier.jws", "licence.jws.new")})
    memory = here.folder / MEMORY
    memory.write_text(memory.read_text().replace('"floor"', '"tier": "professional", "floor"'))
    assert here.rights().tier == "friendly"
    assert here.rights().refusal(GATED) is not None


@attack(10, "the licence of one device on another")
def _copied_licence(here: Installation, issuer: Issuer) -> None:
    other = issue.for_agents(["7c2ab5a2-90ad-4a55-8c15-62a3c6ed5ef7"])
    falls_to_default(here, issuer.text(issuer.licence(other)), "binding-mismatch")


@attack(11, "a whole data folder copied to another machine")
def _cloned_folder(here: Installation, issuer: Issuer) -> None:
    """It works without a server. With one, two reports of one number mark the agent as cloned: that is tested
    with the server."""
    here.licences.install(issuer.text(issuer.licence(here.mine)), NOW)
    copy = Installation(here.folder.with_name("copy"), here.issuers, here.agent_id)
    shutil.copytree(here.folder, copy.folder, dirs_exist_ok=True)
    assert copy.rights().tier == "professional"


@attack(12, "the clock set back by two years")
def _clock_back(here: Installation, issuer: Issuer) -> None:
    licence = issuer.licence(here.mine)
    here.licences.install(issuer.text(licence), NOW)
    after = moment(licence.not_after) + 20 * DAY
    here.licences.heard(after, after)
    assert here.state(after) == "expired"
    assert here.state(after - 730 * DAY) == "expired"


@attack(12, "the clock set back by two years")
def _clock_back_after_a_server(here: Installation, issuer: Issuer) -> None:
    """What the agent noted of its server is a floor, too; an ordinary difference of the clocks is added."""
    licence = issuer.licence(here.mine)
    here.licences.install(issuer.text(licence), NOW)
    after = moment(licence.not_after) + 20 * DAY
    here.asked_server(after - 600, offset=600)
    assert here.standings(after - 730 * DAY).now == after
    assert here.state(after - 730 * DAY) == "expired"
    here.asked_server(NOW - 730 * DAY, offset=730 * DAY)
    assert here.state(NOW - 720 * DAY) == "valid"


@attack(13, "the clock set back and the floor's file deleted")
def _floor_deleted(here: Installation, issuer: Issuer) -> None:
    """A device that never talks to a server can be stretched so; the first word of a server ends it."""
    licence = issuer.licence(here.mine)
    here.licences.install(issuer.text(licence), NOW)
    after = moment(licence.not_after) + 20 * DAY
    here.licences.heard(after, after)
    (here.folder / MEMORY).unlink()
    assert here.standings(EARLIEST - 730 * DAY).now == moment(licence.issued_at)
    assert here.state(EARLIEST - 730 * DAY) == "valid"
    here.licences.heard(after, EARLIEST - 730 * DAY)
    assert here.state(EARLIEST - 730 * DAY) == "expired"


@attack(14, "the clock 20 years ahead, then put right")
def _clock_ahead(here: Installation, issuer: Issuer) -> None:
    here.licences.install(issuer.text(issuer.licence(here.mine)), NOW)
    assert here.state(NOW + 20 * 365 * DAY) == "expired"
    assert here.state(NOW) == "valid"


@attack(15, "issued in the future")
def _issued_in_the_future(here: Installation, issuer: Issuer) -> None:
    """Up to five minutes are the clocks' difference. It is kept, and counts when its time has come."""
    soon = issuer.licence(here.mine, now=NOW + SKEW + 60, not_before=NOW - DAY)
    assert here.licences.install(issuer.text(soon), NOW).state == "not-yet-valid"
    assert here.rights().tier == "default"
    assert here.rights(NOW + 60).tier == "professional"


@attack(16, "an older licence installed after a newer one")
def _older_serial(here: Installation, issuer: Issuer) -> None:
    old = issuer.text(issuer.licence(here.mine, serial=1, tier="professional"))
    lower = issuer.text(issuer.licence(here.mine, serial=2, tier="default"))
    here.licences.install(issuer.text(issuer.licence(here.mine, serial=3, tier="friendly")), NOW)
    for downgrade in (False, True):
        with pytest.raises(NotInstalled) as refused:
            here.licences.install(old, NOW, allow_downgrade=downgrade)
        assert refused.value.standing.state == "serial-rollback"
    here.lay({"old.jws": old})
    assert here.rights().tier == "friendly"
    with pytest.raises(NotInstalled):
        here.licences.install(lower, NOW)
    here.licences.install(lower, NOW, allow_downgrade=True)
    assert here.rights().tier == "default"
    here.lay({"old.jws": old})
    assert here.rights().tier == "default"


@attack(17, "numbers and times that make no sense")
def _senseless_numbers(here: Installation, issuer: Issuer) -> None:
    licence = issuer.licence(here.mine)
    plain = msgspec.to_builtins(licence)
    senseless: tuple[dict[str, Any], ...] = (
        {"not_after": plain["not_before"]},
        {"not_after": "2020-01-01T00:00:00Z"},
        {"limits": {"retention_days": -1}},
        {"limits": {"retention_days": 2**63}},
        {"limits": {"retention_days": True}},
        {"serial": -1},
        {"serial": 2**63},
        {"serial": 1.5},
        {"serial": "1"},
        {"grace_days": 1e300},
        {"not_after": "2028-02-30T00:00:00Z"},
        {"issued_at": 1_800_000_000},
        {"refresh_after": "2099-01-01T00:00:00Z"},
        {"crit": ["night-shift"], "night-shift": True},
        {"tier": "platinum"},
        {"licence_id": "../../etc/passwd"},
        {"binding": {"kind": "agents", "agents": []}},
        {"subject": None},
    )
    text = json.dumps(plain)
    words = [
        text.replace('"grace_days": 14', f'"grace_days": {word}') for word in ("NaN", "1e309", "-Infinity")
    ]
    offered = [issuer.altered(licence, **changes) for changes in senseless]
    for forged in [*offered, *(raw(word.encode(), issuer) for word in words)]:
        with pytest.raises(NotInstalled) as refused:
            here.licences.install(forged, NOW)
        assert refused.value.standing.state == "malformed"
    here.lay({f"{number}.jws": forged for number, forged in enumerate(offered)})
    assert {standing.state for standing in here.standings().all.values()} == {"malformed"}
    assert here.rights().tier == "default"
    assert here.licences.install(issuer.altered(licence, fancy="unknown but not critical"), NOW).honoured


@attack(18, "50 MB, deep nesting, a bomb in base64")
def _too_large(here: Installation, issuer: Issuer) -> None:
    deep = b'{"a":' * 9_000 + b"1" + b"}" * 9_000
    falls_to_default(here, raw(deep, issuer)[: MOST_CHARACTERS - 1], "malformed")
    offered = here.folder / LICENCES / "offered.jws"
    for size in (MOST_CHARACTERS + 1, 50_000_000):
        with offered.open("wb") as file:
            file.write(issuer.text(issuer.licence(here.mine)).encode() + b" " * 70_000)
            file.truncate(max(size, 70_000))
        tracemalloc.start()
        assert here.rights().tier == "default"
        assert here.state() == "malformed"
        _present, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2_000_000


@attack(19, "a licence that was withdrawn")
def _withdrawn(here: Installation, issuer: Issuer) -> None:
    licence = issuer.licence(here.mine)
    here.licences.install(issuer.text(licence), NOW)
    listed = issue.revocation_list([Revoked(licence_id=licence.licence_id)], 1, NOW)
    assert here.licences.install_revocations(issue.sign_revocations(listed, issuer.key)) == listed
    assert here.state() == "revoked"
    assert here.rights().tier == "default"
    here.list_file.unlink()
    assert here.state() == "revocations-missing"
    (here.folder / MEMORY).unlink()
    here.licences.withdraw([licence.licence_id])
    assert here.state() == "revoked"


@attack(19, "a licence that was withdrawn")
def _older_one_after_withdrawal(here: Installation, issuer: Issuer) -> None:
    """Where the newer licence was taken back, the older one may hold again."""
    old, new = issuer.licence(here.mine, serial=1, tier="friendly"), issuer.licence(here.mine, serial=2)
    here.licences.install(issuer.text(old), NOW)
    here.licences.install(issuer.text(new), NOW)
    with pytest.raises(NotInstalled):
        here.licences.install(issuer.text(old), NOW)
    listed = issue.revocation_list([Revoked(licence_id=new.licence_id)], 1, NOW)
    here.licences.install_revocations(issue.sign_revocations(listed, issuer.key))
    here.licences.install(issuer.text(old), NOW)
    assert here.rights().tier == "friendly"


@attack(20, "the list of withdrawn licences replaced by an older one")
def _older_list(here: Installation, issuer: Issuer) -> None:
    licence = issuer.licence(here.mine, revocation_min=2)
    old = issue.sign_revocations(issue.revocation_list([], 1, NOW), issuer.key)
    new = issue.sign_revocations(issue.revocation_list([], 3, NOW), issuer.key)
    here.licences.install_revocations(old)
    with pytest.raises(NotInstalled) as refused:
        here.licences.install(issuer.text(licence), NOW)
    assert refused.value.standing.state == "revocations-missing"
    here.licences.install_revocations(new)
    here.licences.install(issuer.text(licence), NOW)
    kept = here.licences.install_revocations(old)
    assert kept is not None and kept.serial == 3
    assert here.licences.install_revocations(Issuer().text(licence)) is None
    (here.folder / MEMORY).unlink()
    kept = here.licences.install_revocations(old)
    assert kept is not None and kept.serial == 3
    assert here.state() == "valid"
    here.licences.install_revocations(issue.sign_revocations(issue.revocation_list([], 4, NOW), issuer.key))
    here.list_file.write_text(old)
    assert here.state() == "revocations-missing"


@attack(21, "the network blocked for ever, to dodge the list")
def _never_online(here: Installation, issuer: Issuer) -> None:
    licence = issuer.licence(here.mine, days=100, grace_days=14)
    here.licences.install(issuer.text(licence), NOW)
    seen = [here.state(NOW + day * DAY) for day in range(120)]
    assert [state for state, _days in itertools.groupby(seen)] == ["valid", "refresh-due", "grace", "expired"]
    assert here.rights(NOW + 119 * DAY).tier == "default"


@attack(25, "several licences at once")
def _several(here: Installation, issuer: Issuer) -> None:
    """The highest serial that holds is in force, whatever the files are called and in whichever order."""
    texts = [
        issuer.text(issuer.licence(here.mine, serial=5, tier="professional", now=NOW - 400 * DAY, days=30)),
        issuer.text(issuer.licence(here.mine, serial=4, tier="friendly")),
        issuer.text(issuer.licence(here.mine, serial=3, tier="professional")),
    ]
    for order in itertools.permutations(texts):
        here.lay({f"{number}.jws": text for number, text in enumerate(order)})
        chosen = here.standings().chosen
        assert chosen is not None and chosen.licence is not None and chosen.licence.serial == 4
        assert here.rights().tier == "friendly"
    assert len(here.standings().all) == 3
    here.lay({"project.jws": issuer.text(issuer.licence(Binding(kind="project"), tier="professional"))})
    assert here.rights().tier == "friendly"
    elsewhere = Subject(org="Lab", department="field", project="P-17")
    here.lay({"lab.jws": issuer.text(issuer.licence(here.mine, subject=elsewhere))})
    assert here.rights().tier == "professional"


@attack(25, "several licences at once")
def _renewed(here: Installation, issuer: Issuer) -> None:
    """A new one takes the place of the old; one whose time is still to come leaves it."""
    first = issuer.licence(here.mine, serial=1, days=30, grace_days=0)
    second = issuer.licence(here.mine, serial=2, not_before=NOW + 20 * DAY)
    third = issuer.licence(here.mine, serial=3, tier="friendly", now=NOW + 25 * DAY)
    here.licences.install(issuer.text(first), NOW)
    assert here.licences.install(issuer.text(second), NOW).state == "not-yet-valid"
    here.licences.install(issuer.text(first), NOW)
    assert here.rights().record(NOW)["serial"] == 1
    assert here.rights(NOW + 21 * DAY).record(NOW + 21 * DAY)["serial"] == 2
    here.licences.install(issuer.text(third), NOW + 25 * DAY)
    assert list(here.standings(NOW + 25 * DAY).all) == [f"{third.licence_id}.jws"]


@attack(26, "names that look alike")
def _look_alikes(here: Installation, issuer: Issuer) -> None:
    project = Binding(kind="project")
    licence = issuer.licence(project)
    for alike in ("P\u201117", "\u042017", "P-1\u0667", "p-17"):
        subject = Subject(org="ACME", department="field", project=alike)
        forged = issuer.text(issuer.licence(project, subject=subject))
        with pytest.raises(NotInstalled) as refused:
            here.licences.install(forged, NOW)
        assert refused.value.standing.state == "binding-mismatch"
    for unclean in ("P-17 ", " P-17", "P\u200b-17", "Cafe\u0301", "P-17\n"):
        forged = issuer.altered(licence, subject={"department": "field", "project": unclean})
        with pytest.raises(NotInstalled) as refused:
            here.licences.install(forged, NOW)
        assert refused.value.standing.state == "malformed"
    assert here.licences.install(issuer.text(licence), NOW).honoured


@attack(27, "the end exactly now, at a change of daylight saving time, on a leap day")
def _exactly_now(here: Installation, issuer: Issuer) -> None:
    for end in ("2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z", "2028-02-29T00:00:00Z"):
        at = moment(end)
        licence = issuer.licence(here.mine, now=at - 30 * DAY, days=30, grace_days=0)
        here.lay({"one.jws": issuer.text(licence)})
        assert here.state(at - 0.001) == "refresh-due"
        assert here.state(at) == "expired"


@attack(28, "killed between writing and renaming; read while it is replaced")
def _killed_while_installing(here: Installation, issuer: Issuer) -> None:
    old = issuer.licence(here.mine, serial=1, tier="friendly")
    new = issuer.licence(here.mine, serial=2)
    here.licences.install(issuer.text(old), NOW)
    before = sorted(here.folder.glob(f"{LICENCES}/*.jws"))
    child = SPAWN.Process(target=install_and_die, args=(here, issuer.text(new)))
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    assert sorted(here.folder.glob(f"{LICENCES}/*.jws")) == before
    assert here.rights().tier == "friendly"
    here.licences.install(issuer.text(new), NOW)
    assert here.rights().tier == "professional"
    texts = [issuer.text(issuer.licence(here.mine, serial=serial)) for serial in range(3, 60)]
    writer = SPAWN.Process(target=install_all, args=(here, texts))
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(here.standings())
    writer.join(30)
    assert writer.exitcode == 0
    assert seen and all(standings.chosen is not None for standings in seen)
    assert {standing.state for standings in seen for standing in standings.all.values()} <= {
        "valid",
        "serial-rollback",
    }
    assert here.rights().tier == "professional"


@attack(29, "files that can't be read, that belong to others or that others may write")
def _rights_of_files(here: Installation, issuer: Issuer) -> None:
    unset = Installation(here.folder, (), here.agent_id)
    path = unset.trust(issuer.public)
    unset.licences.install(issuer.text(issuer.licence(here.mine)), NOW)
    assert unset.rights().tier == "professional"
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        assert unset.rights().tier == "default"
        assert any(ISSUERS in said for said in warnings(unset.rights()))
    path.chmod(0o600)
    for content in ("{}", "[1]", "[", '["not a key"]', "[" * 5000):
        path.write_text(content)
        assert unset.rights().tier == "default"
        assert list(unset.standings().warnings)
    path.unlink()
    path.mkdir()
    assert unset.rights().tier == "default"
    assert any(ISSUERS in said for said in warnings(unset.rights()))
    (unset.folder / LICENCES / "folder.jws").mkdir()
    assert any("folder.jws" in said for said in unset.standings().warnings)


@attack(30, "the end during a run")
def _ends_during_a_run(here: Installation, issuer: Issuer) -> None:
    """The run keeps the rights that it began with; the next is judged anew."""
    licence = issuer.licence(here.mine, days=1, grace_days=0)
    here.licences.install(issuer.text(licence), NOW)
    rights = here.rights(NOW + DAY - 1)
    assert rights.refusal(GATED) is None
    assert rights.record(NOW + DAY - 1)["state"] == "refresh-due"
    assert rights.record(NOW + DAY + 1)["state"] == "expired"
    shutil.rmtree(here.folder / LICENCES)
    assert rights.refusal(GATED) is None
    here.lay({"one.jws": issuer.text(licence)})
    assert here.rights(NOW + DAY + 1).refusal(GATED) is not None


@attack(31, "a function that is licensed and switched off here")
def _switched_off(here: Installation, issuer: Issuer) -> None:
    granted = issuer.licence(here.mine, features={GATED: True, "probe:ping": True})
    here.licences.install(issuer.text(granted), NOW)
    rights = Rights({"probe:voice_*": "settings.yaml:4", "probe:ping": "settings.yaml:5"}, here.standings)
    for feature in (GATED, "probe:ping"):
        refused = rights.refusal(feature)
        assert refused is not None and refused.layer == "settings"
    assert here.rights().refusal(GATED) is None


@attack(32, "ten thousand agents that ask at once after an outage")
def _stampede(here: Installation, issuer: Issuer) -> None:
    """Each draws its own moment of the window; the server's 429 is tested with the server."""
    licence = issuer.licence(here.mine, days=365)
    chance = random.Random(1)
    moments = sorted(refresh_at(licence, chance) or 0.0 for _ in range(10_000))
    busiest = max(sum(start <= at < start + 3600 for at in moments) for start in moments[::97])
    window = moment(licence.not_after) - moment(licence.refresh_after or "")
    assert busiest < 3 * 10_000 * 3600 / window


@pytest.mark.parametrize("trial", ATTACKS)
def test_attack(trial: Attack, here: Installation, issuer: Issuer) -> None:
    trial(here, issuer)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_not_believed(tmp_path: Path, issuer: Issuer) -> None:
    here = Installation(tmp_path / "data")
    path = here.trust(issuer.public)
    here.licences.install(issuer.text(issuer.licence(here.mine)), NOW)
    os.chown(path, 54321, -1)
    assert here.rights().tier == "default"
    assert any("another user" in said for said in warnings(here.rights()))


def test_every_attack_has_its_answer_or_its_reason() -> None:
    assert sorted([*ANSWERED, *ELSEWHERE]) == list(range(1, 33))


def test_a_new_server_begins_anew(tmp_path: Path) -> None:
    """Serials and lists of the server that was left don't stand against the licences of another."""
    old, new = Issuer(), Issuer()
    here = Installation(tmp_path / "data")
    here.trust(old.public)
    here.licences.install(old.text(old.licence(here.mine, serial=40)), NOW)
    listed = issue.revocation_list([Revoked(licence_id="somebody-else")], 12, NOW)
    here.licences.install_revocations(issue.sign_revocations(listed, old.key))
    shutil.rmtree(here.folder / LICENCES)
    here.list_file.unlink()
    here.trust(new.public)
    assert here.licences.install(new.text(new.licence(here.mine, serial=1)), NOW).state == "valid"
    here.trust(new.public, old.public)
    assert here.state() == "revocations-missing"
