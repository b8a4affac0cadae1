"""Diffs, comparisons and exports at a real server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import get_args
from xml.etree import ElementTree

import aiohttp
import pytest

from ots.model.report import Report
from ots.reports.format import NAMES
from ots.server.reports.exporting import MEDIA_TYPES, FormatName
from ots.store.document import encode
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow


@pytest.fixture
async def admin(cloud: CloudServer) -> AsyncIterator[Visitor]:
    async with administrator(cloud) as visitor:
        yield visitor


@pytest.fixture
async def sent(cloud: CloudServer, admin: Visitor) -> list[tuple[int, Report]]:
    """Two runs of one agent: in the second the first step asks its probe for something else."""
    agent = HandAgent(cloud.url)
    runs = [agent.report(seq=1), agent.report(seq=2)]
    runs[1].steps[0].params = {**runs[1].steps[0].params, "port": 4711}
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, cloud.open_token()))[0] == 201
        for run in runs:
            run.job.customer = 'Ex"; filename="evil.exe\r\nX-Evil: yes'
            assert (await agent.upload(session, run))[0] == 201
    items = (await admin.get(f"/api/v1/reports?agent_id={agent.agent_id}"))[1]["items"]
    numbers = {item["report_id"]: item["number"] for item in items}
    return [(numbers[run.report_id], run) for run in runs]


async def _export(admin: Visitor, number: int, query: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with admin.session.get(f"{admin.url}/api/v1/reports/{number}/export?{query}") as response:
        return response, await response.read()


@pytest.mark.parametrize("name", NAMES)
async def test_every_format(admin: Visitor, sent: list[tuple[int, Report]], name: str) -> None:
    number, report = sent[0]
    response, data = await _export(admin, number, f"format={name}")
    if name == "har":
        assert response.status == 409 and "har" in json.loads(data)["detail"]
        return
    assert response.status == 200, data
    assert response.content_type in MEDIA_TYPES
    disposition = response.headers["Content-Disposition"]
    assert disposition.startswith(f'attachment; filename="report-{number}-1.')
    assert "X-Evil" not in response.headers
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
    if name == "json":
        assert data == encode(report)
    elif name == "pdf":
        assert data.startswith(b"%PDF-")
    elif name == "junit":
        assert ElementTree.fromstring(data).findall(".//testcase")
    elif name == "csv":
        assert len(list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))) > 3
    else:
        text = data.decode().lower()
        assert report.case.id in text or report.case.title["en"].lower() in text


async def test_what_cannot_be_exported(admin: Visitor, sent: list[tuple[int, Report]]) -> None:
    for query, status in (("format=exe", 400), ("", 400), ("format=csv&revision=9", 404)):
        assert (await _export(admin, sent[0][0], query))[0].status == status


def test_every_format_of_ours_can_be_asked_for() -> None:
    assert set(get_args(FormatName)) == set(NAMES)


async def test_a_diff_names_what_a_revision_changed_and_nothing_else(
    admin: Visitor, sent: list[tuple[int, Report]]
) -> None:
    number, report = sent[0]
    path = f"/api/v1/reports/{number}"
    for kind in ({"kind": "note", "note": "seen"}, {"kind": "redaction", "pointers": ["/job/customer"]}):
        assert (await admin.send("POST", f"{path}/revisions", {"reason": "why", **kind}))[0] == 201
    status, diff = await admin.get(f"{path}/diff")
    assert (status, diff["from"], diff["to"], diff["cut"]) == (200, 2, 3, False)
    assert diff["edits"] == [
        {"path": "/revision", "change": "changed", "before": 2, "after": 3},
        {
            "path": "/job/customer",
            "change": "changed",
            "before": report.job.customer,
            "after": "[removed]",
        },
    ]
    status, diff = await admin.get(f"{path}/diff?from=1&to=2")
    note = diff["edits"][1]
    assert (note["path"], note["change"], note["before"]) == (
        f"/job/notes/{len(report.job.notes)}",
        "added",
        None,
    )
    assert (await admin.get(f"{path}/diff?from=1&to=7"))[0] == 404


async def test_two_runs_are_compared_and_what_was_measured_otherwise_is_not(
    admin: Visitor, sent: list[tuple[int, Report]]
) -> None:
    (a, first), (b, second) = sent
    status, found = await admin.get(f"/api/v1/report-comparison?a={a}&b={b}")
    assert status == 200, found
    assert (found["a"]["report_id"], found["b"]["report_id"]) == (first.report_id, second.report_id)
    refused = {each["step"]: each for each in found["not_compared"]}[first.steps[0].key]
    assert refused["reason"] == "definition" and refused["facts"]
    assert {each["change"] for each in found["changes"]} <= {"same", "unclear"} and found["changes"]
    assert (await admin.get(f"/api/v1/report-comparison?a={a}&b=99999999"))[0] == 404
    assert (await admin.get(f"/api/v1/report-comparison?a={a}"))[0] == 400
