"""What a publisher offers a server: what agents would refuse is refused here, and what is served stays."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp

from ots.content import keys
from ots.content.layout import DAY, CaseName
from ots.content.offer import NotTaken, Offer, held_files, offer_of, pack, unpack
from ots.content.online import read, role_file
from ots.content.repository import PublishingError, Repository
from ots.server.content.kept import KeptContent
from ots.signing.keys import UnusableKey, read_public


@dataclass
class Pair:
    """A publisher's repository, and a server that has its online key and has taken office v1 over."""

    repository: Repository
    server: KeptContent
    now: list[float]

    def offer(self) -> Offer:
        return offer_of(self.repository.public, self.server.versions(), held_files(self.server.public))

    def push(self) -> None:
        self.server.take(unpack(pack(self.offer())))

    def refused(self, offer: Offer, match: str) -> None:
        before = {path: path.read_bytes() for path in self.server.public.rglob("*.*") if path.is_file()}
        with pytest.raises(NotTaken, match=match):
            self.server.take(offer)
        assert before == {
            path: path.read_bytes() for path in self.server.public.rglob("*.*") if path.is_file()
        }

    def publish(self, version: int, text: bytes | None = None) -> None:
        name = CaseName("office", version)
        self.repository.publish_case(name, text or b"v%d" % version, title="", heavy=False)

    def forge(self, role: str, change: Callable[[Targets], None], key: str | None = None) -> Offer:
        """What a publisher with this role's key could sign by other means than ours."""
        version = self.server.versions()[role]
        part = Metadata[Targets].from_file(str(self.server.public / "metadata" / f"{version}.{role}.json"))
        part.signed.version += 1
        change(part.signed)
        part.signatures.clear()
        part.sign(keys.load(self.repository.folder / "keys" / f"{key or role}.pem", None))
        return Offer({f"{part.signed.version}.{role}.json": part.to_bytes()}, {})


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    now = [time.time()]
    (tmp_path / "server").mkdir()
    server = KeptContent(tmp_path / "server", wall=lambda: now[0])
    repository = Repository.create(
        tmp_path / "repository", online=read_public(server.online_key), wall=lambda: now[0]
    )
    made = Pair(repository, server, now)
    made.publish(1)
    made.push()
    yield made


def test_what_is_signed_is_taken_and_served(pair: Pair) -> None:
    pair.publish(2)
    assert not pair.repository.has_online_key
    pair.push()
    assert set(role_file(pair.server.public, "cases").signed.targets) == {
        "cases/office.1.yaml",
        "cases/office.2.yaml",
    }
    assert not pair.offer().metadata and not pair.offer().targets


def test_snapshot_and_timestamp_are_renewed_before_they_end_and_only_then(pair: Pair) -> None:
    def versions() -> tuple[int, int]:
        timestamp = read(pair.server.public, "timestamp.json", Timestamp).signed
        return timestamp.version, timestamp.snapshot_meta.version

    start = versions()
    assert not pair.server.freshen()
    pair.now[0] += 0.6 * DAY
    assert pair.server.freshen() and versions() == (start[0] + 1, start[1])
    pair.now[0] += 3 * DAY
    assert pair.server.freshen() and versions() == (start[0] + 2, start[1] + 1)
    assert not pair.server.freshen() and not pair.server.ending()
    pair.now[0] += 70 * DAY
    assert set(pair.server.ending()) == {"servers", "licences"}
    snapshot = read(pair.server.public, f"{start[1] + 1}.snapshot.json", Snapshot).signed
    assert snapshot.meta["cases.json"].version == 2


def test_a_published_version_never_changes(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(PublishingError, match="never changes") as caught:
        pair.publish(1, b"something else")
    assert "version 2" in caught.value.remedy

    def change(cases: Targets) -> None:
        cases.targets["cases/office.1.yaml"].hashes["sha256"] = "0" * 64

    pair.refused(pair.forge("cases", change), "other content than before")
    pair.refused(pair.forge("cases", lambda cases: cases.targets.clear()), "no longer on record")
    pair.repository.withdraw_case(CaseName("office", 1))
    pair.push()
    with pytest.raises(PublishingError, match="withdrawn"):
        pair.publish(1)


def test_what_only_others_may_sign_is_refused(pair: Pair) -> None:
    pair.refused(pair.forge("cases", lambda cases: None, key="servers"), "signed by 0/1")
    pair.refused(pair.forge("targets", lambda targets: None, key="cases"), "signed by 0/1")

    def stray(servers: Targets) -> None:
        cases = role_file(pair.server.public, "cases").signed.targets
        servers.targets["cases/office.1.yaml"] = cases["cases/office.1.yaml"]

    pair.refused(pair.forge("servers", stray), "no file of signed content")


def test_older_and_repeated_versions_are_refused(pair: Pair) -> None:
    name = "2.cases.json"
    old = pair.server.public / "metadata" / name
    first = (pair.server.public / "metadata" / "1.servers.json").read_bytes()
    pair.publish(2)
    pair.push()
    pair.refused(Offer({name: old.read_bytes()}, {}), "is older than 3")
    pair.refused(Offer({"2.servers.json": first}, {}), "not version 2")
    other = json.dumps(json.loads((pair.server.public / "metadata" / "3.cases.json").read_bytes()))
    pair.refused(Offer({"3.cases.json": other.encode()}, {}), "is served already")


def test_an_expired_role_is_refused(pair: Pair) -> None:
    pair.publish(2)
    offer = pair.offer()
    pair.now[0] += 400 * DAY
    pair.refused(offer, "expired")


def test_a_file_that_is_missing_or_another_is_refused(pair: Pair) -> None:
    pair.publish(2)
    offer = pair.offer()
    (sha256,) = offer.targets
    pair.refused(Offer(offer.metadata, {}), "not offered")
    pair.refused(Offer(offer.metadata, {sha256: b"v3"}), "not what the metadata says")
    pair.server.take(offer)


def test_a_root_that_would_lock_the_server_out_is_refused(pair: Pair) -> None:
    pair.repository.rotate("online")
    pair.refused(pair.offer(), "does not let this server's key sign")


def test_a_root_of_somebody_else_is_refused(pair: Pair, tmp_path: Path) -> None:
    stranger = Repository.create(tmp_path / "stranger")
    stranger.rotate("root")
    root = (stranger.public / "metadata" / "2.root.json").read_bytes()
    pair.refused(Offer({"2.root.json": root}, {}), "signed by 0/1")
    pair.refused(Offer({"3.root.json": root}, {}), "root")


def test_roles_are_rotated_and_the_server_follows(pair: Pair) -> None:
    for role in ("cases", "root", "targets", "root"):
        pair.repository.rotate(role)
    pair.publish(2)
    pair.push()
    assert pair.server.versions()["root"] == 4


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"metadata": {"x": 1}}', b'{"metadata": {}, "targets": {"a": "!"}}', b"[" * 10_000]
)
def test_what_is_no_offer_is_refused(data: bytes) -> None:
    with pytest.raises(NotTaken):
        unpack(data)


@pytest.mark.parametrize("name", ["../../etc/passwd", "1.snapshot.json", "timestamp.json", "1.evil.json"])
def test_a_file_that_no_publisher_signs_is_refused(pair: Pair, name: str) -> None:
    pair.refused(Offer({name: b"{}"}, {}), "no file that a publisher signs")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_metadata_that_is_none_is_refused(pair: Pair, data: bytes) -> None:
    with pytest.raises(NotTaken):
        pair.server.take(Offer({"3.cases.json": data}, {}))
    with pytest.raises(NotTaken):
        pair.server.take(Offer({"2.root.json": data}, {}))


def test_keys_are_their_owners_alone_and_locked_where_a_passphrase_is_given(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path, "correct horse")
    files = sorted((tmp_path / "keys").iterdir())
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert [path.name for path in files if b"ENCRYPTED" not in path.read_bytes()] == ["online.pem"]
    for passphrase, match in ((None, "has a passphrase"), ("wrong", "passphrase is another")):
        with pytest.raises(UnusableKey, match=match):
            Repository(tmp_path, passphrase).renew(["cases"])
        with pytest.raises(UnusableKey, match=match):
            Repository(tmp_path, passphrase).rotate("cases")
    assert sorted((tmp_path / "keys").iterdir()) == files
    repository.renew(["cases"])
    (tmp_path / "keys" / "cases.pem").chmod(0o640)
    with pytest.raises(UnusableKey, match="open to others"):
        repository.renew(["cases"])
    with pytest.raises(PublishingError, match="there is a repository"):
        Repository.create(tmp_path)


def test_a_server_that_lost_a_step_to_a_power_cut_serves_the_old_and_takes_the_offer_again(
    pair: Pair,
) -> None:
    """All new files are there, but the timestamp, which decides, is not: nothing has changed for agents."""
    before = (pair.server.public / "metadata" / "timestamp.json").read_bytes()
    pair.publish(2)
    offer = pair.offer()
    pair.server.take(offer)
    (pair.server.public / "metadata" / "timestamp.json").write_bytes(before)
    assert pair.server.versions()["cases"] == 2
    assert set(role_file(pair.server.public, "cases").signed.targets) == {"cases/office.1.yaml"}
    pair.push()
    assert pair.server.versions()["cases"] == 3
    shutil.rmtree(pair.server.public)
