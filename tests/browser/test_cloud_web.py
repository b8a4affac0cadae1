"""The server's pages in a real browser: log-in, a token, an agent that enrols, and its report on the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from ots.remote.assignment_wire import ASSIGNMENT_TAG, PLANNED_TAG
from ots.server.web.qr import qr_picture
from tests.browser.chromium import Tab, browser
from tests.browser.cloud_pages import fill, log_in, make_token
from tests.cloud_kit import CloudServer, HandAgent
from tests.peers.cloud import KINDS
from tests.peers.require import require
from tests.unit.sample_reports import hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_ON_ONE = pytest.mark.parametrize("own_cloud", KINDS[:1], indirect=True)
"""Of what is the same whatever the database."""


_PATHS = ("/", "/agents", "/reports", "/assignments", "/licences", "/tokens", "/accounts", "/audit")


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browser(require("chromium")) as opened:
        yield opened


@pytest.fixture
def server(own_cloud: CloudServer) -> CloudServer:
    return own_cloud


async def test_from_the_first_log_in_to_a_report_on_the_page(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    token = await make_token(tab, server, department="571", project="HZ-12")
    agent = HandAgent(server.url)
    report = agent.report()
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, token))[0] == 201
        assert (await agent.upload(session, report))[0] == 201
    await tab.open(f"{server.url}/agents", width=1200)
    assert "van-3" in await tab.evaluate("document.querySelector('table').innerText")
    await tab.open(f"{server.url}/reports", width=1200)
    assert "HZ-117" in await tab.evaluate("document.querySelector('table').innerText")
    await tab.act("document.querySelector('table a').click()")
    assert report.report_id in await tab.evaluate("document.body.innerText")
    here = await tab.evaluate("location.pathname")
    await fill(tab, "#note", {"note": "<b>router</b> replaced", "reason": "a visit"})
    assert "a visit" in await tab.evaluate("document.querySelector('table').innerText")
    await tab.act("document.querySelector('table a[href*=diff]').click()")
    assert "account admin: <b>router</b> replaced" in await tab.evaluate("document.body.innerText")
    assert not tab.complaints
    await tab.open(f"{server.url}{here}", width=1200)
    await tab.open(f"{server.url}{await tab.evaluate('location.pathname')}/document", width=1200)
    assert "Zhejiang Broadband" in await tab.evaluate("document.body.innerText")
    assert not tab.complaints
    await tab.open(f"{server.url}/licences", width=1200)
    await fill(tab, "/licences", {"agent_id": agent.agent_id, "tier": "professional"})
    assert "professional" in await tab.evaluate("document.querySelector('table').innerText")
    await tab.open(f"{server.url}/audit", width=1200)
    assert "enrolment token" in await tab.evaluate("document.querySelector('table').innerText")


async def test_a_report_is_redacted_judged_again_compared_and_deleted(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    agent = HandAgent(server.url)
    async with aiohttp.ClientSession() as session:
        await agent.enrol(session, server.open_token())
        for _ in range(2):
            assert (await agent.upload(session, agent.report()))[0] == 201
    body = "document.body.innerText"
    await tab.open(f"{server.url}/reports/1", width=1200)
    await fill(tab, "#redaction", {"texts": "Zhejiang Broadband", "pointers": "/job/site", "reason": "asked"})
    await tab.open(f"{server.url}/reports/1/document", width=1200)
    assert "Zhejiang Broadband" not in await tab.evaluate(body)
    await tab.open(f"{server.url}/reports/1", width=1200)
    strict = "gateway: [{metric: ping_rtt_seconds, stat: p95, fail: '< 1 us'}]"
    await fill(tab, "#judgement", {"thresholds": strict, "reason": "a stricter limit"})
    assert "a stricter limit" in await tab.evaluate("document.querySelector('table').innerText")
    await tab.open(f"{server.url}/reports/1/document", width=1200)
    assert "FAIL" in await tab.evaluate(body)
    await tab.open(f"{server.url}/reports/2", width=1200)
    await fill(tab, "/comparison", {"a": "1"})
    assert await tab.evaluate("location.pathname + location.search") == "/comparison?b=2&a=1"
    assert "gateway" in await tab.evaluate("document.querySelector('pre').innerText")
    await tab.open(f"{server.url}/reports/1", width=1200)
    await fill(tab, "#judgement", {"thresholds": "gateway: [", "reason": "a slip"})
    assert "line 1" in await tab.evaluate(body) or ":1:" in await tab.evaluate(body)
    await tab.open(f"{server.url}/reports/1", width=1200)
    await fill(tab, "#deletion", {"sure": "yes"})
    assert await tab.evaluate("location.pathname") == "/reports"
    await tab.open(f"{server.url}/reports/1", width=1200)
    assert await tab.evaluate("document.querySelector('#note')") is None
    assert not tab.complaints


async def test_a_case_is_assigned_and_its_planned_runs_are_seen(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    agent = HandAgent(server.url)
    async with aiohttp.ClientSession() as session:
        await agent.enrol(session, server.open_token())
        await tab.open(f"{server.url}/assignments", width=1200)
        await fill(tab, "/assignments", {"name": "nightly", "case": "broadband", "schedule": "every: 1 d"})
        path = await tab.evaluate("location.pathname")
        body = "document.body.innerText"
        assert "not fetched yet" in await tab.evaluate(body)
        assert (await agent.send(session, "GET", "/api/v1/agent/assignments", b""))[0] == 200
        report = agent.report()
        planned = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        report.tags = {ASSIGNMENT_TAG: path.rpartition("/")[2], PLANNED_TAG: planned}
        assert (await agent.upload(session, report))[0] == 201
    await tab.open(f"{server.url}{path}", width=1200)
    shown = await tab.evaluate(body)
    assert planned[11:19] in shown and "not fetched yet" not in shown
    await fill(tab, "#change", {"schedule": "every: 2 d"})
    assert "2 d" in await tab.evaluate(body)
    await fill(tab, f"{path}/retire", {})
    assert "retired" in await tab.evaluate("document.querySelector('table').innerText")
    assert not tab.complaints


async def test_people_are_given_accounts_and_tokens_on_the_pages(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    await tab.open(f"{server.url}/accounts", width=1200)
    await fill(tab, "/accounts", {"name": "li.wei", "role": "engineer"})
    password = await tab.evaluate("document.querySelector('#password').textContent")
    await fill(tab, "/accounts/2", {}, button="[value=reset]")
    assert password != await tab.evaluate("document.querySelector('#password').textContent")
    second = "[...document.querySelectorAll('form[action=\"/accounts/2\"]')][1]"
    await tab.evaluate(f"{second}.elements.role.value = 'auditor'")
    await tab.act(f"{second}.querySelector('button').click()")
    assert "auditor" in await tab.evaluate("document.querySelector('#account-2 select').innerText")
    await fill(tab, "/accounts/2", {"grant": "engineer"}, button="[value=remove]")
    assert "engineer" not in await tab.evaluate("document.querySelector('#account-2 select').innerText")
    await fill(tab, "/accounts/1", {}, button="[value=disable]")
    assert "administrator" in await tab.evaluate("document.body.innerText")
    await tab.open(f"{server.url}/api-tokens", width=1200)
    await fill(tab, "/api-tokens", {"name": "night job", "reports:read": "yes"})
    token = await tab.evaluate("document.querySelector('#token').textContent")
    asking = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=asking) as session:
        async with session.get(f"{server.url}/api/v1/reports") as answer:
            assert answer.status == 200
        async with session.get(f"{server.url}/api/v1/agents") as answer:
            assert answer.status == 403
        await tab.act("document.querySelector('form[action$=revoke] button').click()")
        async with session.get(f"{server.url}/api/v1/reports") as answer:
            assert answer.status == 401
    assert not tab.complaints


@_ON_ONE
async def test_the_picture_of_a_token_is_the_token(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    token = await make_token(tab, server)
    picture = await tab.evaluate("document.querySelector('img.qr').src")
    assert picture == qr_picture(token)
    assert await tab.evaluate("document.querySelector('img.qr').naturalWidth") > 100


@_ON_ONE
async def test_a_report_full_of_script_stays_text(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    agent = HandAgent(server.url)
    report = hostile()
    report.agent = {**report.agent, "agent_id": agent.agent_id}
    script = "<script>window.broken=1</script><img src=x onerror=window.broken=1>"
    report.job.id = script
    report.job.customer = script
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, server.open_token(), name=script))[0] == 201
        assert (await agent.upload(session, report))[0] == 201
    for path in (
        "/",
        "/agents",
        f"/agents/{agent.agent_id}",
        "/reports",
        "/reports/1",
        "/reports/1/document",
    ):
        await tab.open(f"{server.url}{path}", width=1200)
        assert await tab.evaluate("window.broken") is None
        assert script[:40] in await tab.evaluate("document.body.innerText") or path == "/reports/1"
        assert not tab.complaints, (path, tab.complaints)


@_ON_ONE
async def test_pages_speak_chinese_and_fit_a_phone(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    await tab.open(server.url, width=1200)
    await fill(tab, "/language", {})
    assert await tab.evaluate("document.documentElement.lang") == "zh"
    for path in (
        "/",
        "/agents",
        "/reports",
        "/licences",
        "/tokens",
        "/api-tokens",
        "/accounts",
        "/audit",
        "/password",
    ):
        await tab.open(f"{server.url}{path}", width=360)
        assert await tab.evaluate("document.documentElement.lang") == "zh"
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 360, path


@_ON_ONE
async def test_whoever_is_not_logged_in_sees_the_door(tab: Tab, server: CloudServer) -> None:
    for path in (
        "/",
        "/agents",
        "/reports",
        "/reports/1",
        "/reports/1/document",
        "/tokens",
        "/accounts",
        "/audit",
    ):
        await tab.open(f"{server.url}{path}", width=800)
        assert await tab.evaluate("location.pathname") == "/login"
    await fill(tab, "/login", {"name": "admin", "password": "wrong wrong wrong"})
    assert "do not fit" in await tab.evaluate("document.body.innerText")
