"""Revisions of a report at a real server: made by people, chained by their hashes; deletion."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from ots.model.report import Report
from ots.remote import wire
from ots.schema.report import read_report
from ots.signing.keys import key_id, load_or_make
from ots.signing.statement import verify
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow


@dataclass
class Kept:
    """A report on the server, and who may change it."""

    admin: Visitor
    agent: HandAgent
    report: Report
    path: str

    async def revise(self, kind: str, reason: str = "asked for", **wish: Any) -> tuple[int, Any]:
        return await self.admin.send(
            "POST", f"{self.path}/revisions", {"kind": kind, "reason": reason, **wish}
        )

    async def document(self, revision: int) -> bytes:
        async with self.admin.session.get(f"{self.admin.url}{self.path}/revisions/{revision}") as response:
            assert response.status == 200
            return await response.read()


@pytest.fixture
async def kept(cloud: CloudServer) -> AsyncIterator[Kept]:
    agent = HandAgent(cloud.url)
    async with administrator(cloud) as admin, aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, cloud.open_token()))[0] == 201
        report = agent.report()
        assert (await agent.upload(session, report))[0] == 201
        page = (await admin.get(f"/api/v1/reports?agent_id={agent.agent_id}"))[1]
        yield Kept(admin, agent, report, f"/api/v1/reports/{page['items'][0]['number']}")


async def test_a_note_is_a_revision_that_leads_back_to_what_the_agent_signed(
    kept: Kept, cloud: CloudServer
) -> None:
    first = await kept.document(1)
    status, detail = await kept.revise("note", note="the zebrafinch router was replaced", parent=1)
    assert status == 201 and detail["revision"] == 2
    made = detail["revisions"][1]
    second = await kept.document(2)
    assert (made["kind"], made["author"], made["reason"]) == ("note", "account admin", "asked for")
    assert made["parent_sha256"] == hashlib.sha256(first).hexdigest()
    assert made["sha256"] == hashlib.sha256(second).hexdigest()
    assert await kept.document(1) == first
    assert read_report(second).job.notes[-1].endswith(" account admin: the zebrafinch router was replaced")
    key = load_or_make(cloud.folder / "receipt.key").public_key()
    proof = (await kept.admin.get(f"{kept.path}/revisions/2/proof"))[1]
    said = verify(proof["receipt"], wire.REVISION, {key_id(key): key})
    assert (said["parent_sha256"], said["sha256"]) == (made["parent_sha256"], made["sha256"])
    found = (await kept.admin.get("/api/v1/reports?search=zebrafinch"))[1]["items"]
    assert kept.report.report_id in [each["report_id"] for each in found]
    audited = (await kept.admin.get("/api/v1/audit"))[1]["items"]
    assert any(each["action"] == "note" and made["sha256"] in str(each["detail"]) for each in audited)


async def test_of_revisions_made_at_once_one_is_made(kept: Kept) -> None:
    answers = await asyncio.gather(*(kept.revise("note", note=f"{n}", parent=1) for n in range(6)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409, 409]
    assert {answer["code"] for status, answer in answers if status == 409} == {"revision-conflict"}
    assert (await kept.admin.get(kept.path))[1]["revision"] == 2


async def test_what_was_redacted_is_neither_in_the_copy_nor_found(kept: Kept) -> None:
    customer = kept.report.job.customer
    assert customer is not None
    status, detail = await kept.revise("redaction", texts=[customer], pointers=["/job/notes", "/job/id"])
    assert status == 201, detail
    copy = await kept.document(2)
    assert customer.encode() not in copy and read_report(copy).job.notes == []
    assert (detail["job"], detail["revisions"][1]["kind"]) == ("[removed]", "redaction")
    word = customer.split()[0].lower()
    found = (await kept.admin.get(f"/api/v1/reports?search={word}&agent_id={kept.agent.agent_id}"))[1]
    assert found["items"] == []
    assert customer.encode() in await kept.document(1)


async def test_what_was_redacted_is_for_those_who_may_see_it(kept: Kept, cloud: CloudServer) -> None:
    assert (await kept.revise("note", note="before"))[0] == 201
    assert (await kept.revise("redaction", pointers=["/job/notes"]))[0] == 201
    name = f"engineer-{kept.path.rpartition('/')[2]}"
    made = (
        await kept.admin.send("POST", "/api/v1/accounts", {"name": name, "grants": [{"role": "engineer"}]})
    )[1]
    async with Visitor.at(cloud.url) as engineer:
        await engineer.log_in(name, made["password"])
        password = {"present": made["password"], "new": "long enough for this"}
        assert (await engineer.send("PUT", "/api/v1/session/password", password))[0] < 300
        await engineer.log_in(name, password["new"])
        earlier = [f"{kept.path}/revisions/{n}" for n in (1, 2)]
        for path in (*earlier, f"{kept.path}/diff", f"{kept.path}/export?format=csv&revision=2"):
            status, problem = await engineer.get(path)
            assert (status, problem["code"]) == (403, "forbidden") and "redacted" in problem["detail"], path
        detail = (await engineer.get(kept.path))[1]
        assert [each["redacted"] for each in detail["revisions"]] == [True, True, False]
        assert (await engineer.get(f"{kept.path}/revisions/3"))[0] == 200
        assert (await engineer.get(f"{kept.path}/revisions/1/proof"))[0] == 200
    assert b"before" in await kept.document(2)
    assert (await kept.admin.get(f"{kept.path}/diff"))[0] == 200


async def test_another_judgement_is_of_the_same_samples(kept: Kept) -> None:
    step = next(step for step in kept.report.steps if step.outcome == "success" and step.metrics)
    metric = next(metric for metric in step.metrics if isinstance(metric.stats.get("median"), float))
    limits = {"strict": ("< 1 ns", "fail"), "loose": ("< 1 h", "pass")}
    for number, (limit, verdict) in enumerate(limits.values(), 2):
        written = [{"metric": metric.key, "stat": "median", "fail": limit}]
        status, detail = await kept.revise("judgement", thresholds={step.key: written})
        assert status == 201, detail
        judged = read_report(await kept.document(number))
        again = next(each for each in judged.steps if each.key == step.key)
        assert again.verdict == verdict and again.series == step.series and again.metrics == step.metrics
        assert [each.fail for each in again.thresholds] == [limit]
        assert detail["verdict"] == judged.verdict
    assert [each["kind"] for each in detail["revisions"]] == ["measured", "judgement", "judgement"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"kind": "note"}, "a note has note"),
        ({"kind": "note", "note": "x", "texts": ["xyz"]}, "nothing else"),
        ({"kind": "redaction", "pointers": ["/job/nothing"]}, "nothing at"),
        ({"kind": "redaction", "pointers": ["/steps/99/params"]}, "nothing at"),
        ({"kind": "redaction", "pointers": ["/report_id"]}, "structure"),
        ({"kind": "redaction", "pointers": ["/contexts/0/t"]}, "would be none"),
        ({"kind": "redaction", "texts": ["nowhere at all"]}, "no value"),
        ({"kind": "judgement", "thresholds": {"nowhere": []}}, "no step"),
        (
            {"kind": "judgement", "thresholds": {"{step}": [{"metric": "nothing", "fail": "< 1"}]}},
            "no metric",
        ),
        ({"kind": "judgement", "thresholds": {"{step}": [{"fail": 7}]}}, "a threshold of"),
    ],
)
async def test_a_revision_that_makes_no_sense(kept: Kept, wish: dict[str, Any], said: str) -> None:
    if "thresholds" in wish:
        thresholds = {
            key.format(step=kept.report.steps[0].key): rows for key, rows in wish["thresholds"].items()
        }
        wish = {**wish, "thresholds": thresholds}
    status, problem = await kept.revise(**wish)
    assert (status, problem["code"]) == (422, "invalid-body") and said in problem["detail"], problem
    assert (await kept.admin.get(kept.path))[1]["revision"] == 1


async def test_a_deleted_report_leaves_its_hashes_and_does_not_come_back(kept: Kept) -> None:
    assert (await kept.revise("note", note="soon gone"))[0] == 201
    before = (await kept.admin.get(kept.path))[1]["revisions"]
    assert (await kept.admin.send("DELETE", kept.path))[0] == 204
    after = (await kept.admin.get(kept.path))[1]
    assert [each["sha256"] for each in after["revisions"]] == [each["sha256"] for each in before]
    assert not any(each["kept"] for each in after["revisions"]) and after["job"] is None
    for revision in (1, 2):
        assert (await kept.admin.get(f"{kept.path}/revisions/{revision}"))[0] == 404
    async with aiohttp.ClientSession() as session:
        assert (await kept.agent.upload(session, kept.report))[0] == 200
    assert (await kept.admin.get(f"{kept.path}/revisions/1"))[0] == 404
    status, problem = await kept.revise("note", note="too late")
    assert (status, problem["code"]) == (409, "conflict")
