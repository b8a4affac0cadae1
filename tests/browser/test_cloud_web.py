"""The server's pages in a real browser: log-in, a token, an agent that enrols, and its report on the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.browser.chromium import Tab, browser
from tests.browser.cloud_pages import fill, log_in, make_token
from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.peers.require import require
from tests.unit.sample_reports import hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browser(require("chromium")) as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with cloud_server(tmp_path, options=["--rates", "1000"]) as running:
        yield running


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
    await fill(tab, f"{here}/notes", {"note": "<b>router</b> replaced", "reason": "a visit"})
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


async def test_pages_speak_chinese_and_fit_a_phone(tab: Tab, server: CloudServer) -> None:
    await log_in(tab, server)
    await tab.open(server.url, width=1200)
    await fill(tab, "/language", {})
    assert await tab.evaluate("document.documentElement.lang") == "zh"
    for path in ("/", "/agents", "/reports", "/licences", "/tokens", "/audit", "/password"):
        await tab.open(f"{server.url}{path}", width=360)
        assert await tab.evaluate("document.documentElement.lang") == "zh"
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 360, path


async def test_whoever_is_not_logged_in_sees_the_door(tab: Tab, server: CloudServer) -> None:
    for path in ("/", "/agents", "/reports", "/reports/1", "/reports/1/document", "/tokens", "/audit"):
        await tab.open(f"{server.url}{path}", width=800)
        assert await tab.evaluate("location.pathname") == "/login"
    await fill(tab, "/login", {"name": "admin", "password": "wrong wrong wrong"})
    assert "do not fit" in await tab.evaluate("document.body.innerText")
