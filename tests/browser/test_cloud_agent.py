"""Two terminals and a browser: a server, an agent's commands in another data folder, the report's page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.browser.chromium import browser
from tests.browser.cloud_pages import log_in, make_token
from tests.cloud_kit import CloudServer
from tests.command_line import CommandLine
from tests.peers.require import require

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_CASE = """\
ots: 1
id: line-check
version: 3
title: {en: Check of the line, zh: 线路检查}
steps:
  - id: near
    probe: ping
    target: 127.0.0.1
    params: {count: 100, interval: 10 ms, timeout: 500 ms}
    thresholds:
      - {metric: ping_packet_loss_ratio, fail: "<= 1 %"}
"""
_WITHIN = 10.0


async def test_enrolled_by_command_a_run_is_on_the_page_within_seconds(
    tmp_path: Path, own_cloud: CloudServer
) -> None:
    user = CommandLine(tmp_path / "agent")
    user.folder.mkdir()
    case = user.folder / "line-check.yaml"
    case.write_text(_CASE, "utf-8")
    server = own_cloud
    async with browser(require("chromium")) as tab:
        await log_in(tab, server)
        token = await make_token(tab, server, department="571", project="HZ-12")
        place = ("--token-from", "env:TOKEN", "--name", "lab-3")
        enrolled = user.run("agent", "enroll", server.url, *place, env={"TOKEN": token})
        assert enrolled.returncode == 0, enrolled.stderr
        done = user.run("run", str(case))
        assert done.returncode == 0, done.stderr
        ended = time.monotonic()
        [row] = user.reports()
        assert row["upload"] == "sent"

        await tab.open(f"{server.url}/reports", width=1200)
        table = await tab.evaluate("document.querySelector('table').innerText")
        assert time.monotonic() - ended < _WITHIN
        assert "line-check" in table and "lab-3" in table
        await tab.act("document.querySelector('table a').click()")
        assert row["report_id"] in await tab.evaluate("document.body.innerText")
        await tab.open(f"{server.url}{await tab.evaluate('location.pathname')}/document", width=1200)
        assert "Check of the line" in await tab.evaluate("document.body.innerText")
        assert not tab.complaints
