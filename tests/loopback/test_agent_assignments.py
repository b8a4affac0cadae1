"""What an agent takes for its assignments, and what it does not, from a server that is not always honest."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.remote.assignment_wire import INDEX, Assignment, AssignmentText, CaseName, Index, IndexEntry
from ots.remote.assignments import fetch_assignments, kept_assignments
from ots.remote.client import Client, Refused
from ots.remote.identity import identity
from ots.remote.membership import Membership
from ots.signing.keys import write_public
from ots.signing.statement import sign


class Giver:
    """A server that gives whatever it was told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.who = identity(folder)
        self.answer = AssignmentText(index="", documents=[])
        self.url = ""

    def membership(self, **changes: Any) -> Membership:
        said = {
            "url": self.url,
            "server_id": "here",
            "server_name": "here",
            "agent_id": self.who.agent_id,
            "name": "van-3",
            "status": "active",
            "receipt_keys": [],
            "command_keys": [write_public(self.key.public_key())],
            "enrolled_at": "2026-03-01T08:00:00Z",
        }
        return Membership(**{**said, **changes})

    def say(self, *found: Assignment, key: Ed25519PrivateKey | None = None, **changes: Any) -> None:
        documents = [msgspec.json.encode(one).decode() for one in found]
        entries = [
            IndexEntry(
                assignment_id=one.assignment_id,
                version=one.version,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
            )
            for one, text in zip(found, documents, strict=True)
        ]
        said = {"agent_id": self.who.agent_id, "server_id": "here", "issued_at": "2026-03-01T08:00:00Z"}
        index = Index(**{**said, "assignments": entries, **changes})
        self.answer = AssignmentText(
            index=sign(msgspec.to_builtins(index), INDEX, key or self.key), documents=documents
        )

    async def fetch(self) -> list[Assignment]:
        async with Client(self.url, self.who) as client:
            return await fetch_assignments(self.folder, self.membership(), client)

    def kept(self) -> list[str]:
        return [one.assignment_id for one in kept_assignments(self.folder, self.membership())]


@pytest.fixture
async def giver(tmp_path: Path) -> AsyncIterator[Giver]:
    made = Giver(tmp_path)

    async def give(_request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(made.answer), content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/agent/assignments", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def _one(name: str = "a", version: int = 1) -> Assignment:
    case = CaseName(name="broadband")
    return Assignment(assignment_id=name, version=version, name=name, case=case, schedule={"every": "1 h"})


async def test_what_the_server_signed_is_taken_and_kept(giver: Giver) -> None:
    assert giver.kept() == []
    giver.say(_one("a"), _one("b"))
    assert [one.assignment_id for one in await giver.fetch()] == ["a", "b"]
    assert giver.kept() == ["a", "b"]
    giver.say(_one("b", 2), issued_at="2026-03-01T09:00:00Z")
    await giver.fetch()
    assert giver.kept() == ["b"]


async def test_what_is_kept_belongs_to_one_server_and_one_place_on_it(giver: Giver) -> None:
    giver.say(_one("a"))
    await giver.fetch()
    for changes in ({"server_id": "elsewhere"}, {"status": "suspended"}, {"status": "revoked"}):
        assert kept_assignments(giver.folder, giver.membership(**changes)) == []
    assert kept_assignments(giver.folder, None) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": Ed25519PrivateKey.generate()}, "answer-invalid"),
        ({"agent_id": "another"}, "answer-invalid"),
        ({"server_id": "another"}, "answer-invalid"),
        ({"issued_at": "2026-02-28T08:00:00Z"}, "assignments-older"),
        (
            {"assignments": [IndexEntry(assignment_id="c", version=1, sha256="0" * 64)]},
            "answer-invalid",
        ),
    ],
)
async def test_anything_else_changes_nothing(giver: Giver, changes: dict[str, Any], code: str) -> None:
    giver.say(_one("a"))
    await giver.fetch()
    giver.say(_one("c"), **changes)
    with pytest.raises(Refused) as refused:
        await giver.fetch()
    assert refused.value.code == code and giver.kept() == ["a"]


async def test_a_document_that_was_changed_or_renamed_changes_nothing(giver: Giver) -> None:
    giver.say(_one("a"))
    await giver.fetch()
    giver.say(_one("a"), issued_at="2026-03-01T09:00:00Z")
    giver.answer.documents = [giver.answer.documents[0].replace("1 h", "1 s")]
    with pytest.raises(Refused, match="not the one that the server signed"):
        await giver.fetch()
    digest = hashlib.sha256(msgspec.json.encode(_one("a"))).hexdigest()
    renamed = [IndexEntry(assignment_id="z", version=1, sha256=digest)]
    giver.say(_one("a"), issued_at="2026-03-01T09:00:00Z", assignments=renamed)
    with pytest.raises(Refused, match="another's name"):
        await giver.fetch()
    assert giver.kept() == ["a"]


async def test_a_damaged_file_is_fetched_again(giver: Giver) -> None:
    giver.say(_one("a"))
    await giver.fetch()
    for damage in (b"", b"\x00" * 40, b'{"server_id": "here"'):
        (giver.folder / "assignments.json").write_bytes(damage)
        assert giver.kept() == []
        await giver.fetch()
        assert giver.kept() == ["a"]
