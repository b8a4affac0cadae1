"""`python -m docs.generator.cloud_pictures REPORT.json…`: the pictures of the server's pages.

Starts a real server, enrols an agent that sends these reports as its own, and photographs the pages in both
languages in a headless Chromium, into docs/pictures.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from PIL import Image

from docs.generator.pictures import PICTURES
from ots.model.report import Report
from ots.schema.report import read_report
from tests.browser.chromium import Tab, browser
from tests.browser.cloud_pages import fill, log_in, make_token
from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.peers import programs

_WIDTH, _HEIGHT = 1120, 640
_COLOURS = 64


async def photograph(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Writes one PNG for each page and language; returns their paths."""
    with tempfile.TemporaryDirectory() as workdir, cloud_server(Path(workdir)) as server:
        async with browser(programs.find("chromium")) as tab:
            await log_in(tab, server)
            await _send(server, await make_token(tab, server, department="571", project="HZ-12"), reports)
            taken = []
            for language in ("en", "zh"):
                await tab.open(server.url, width=_WIDTH, height=_HEIGHT)
                if await tab.evaluate("document.documentElement.lang") != language:
                    await fill(tab, "/language", {})
                for name, path in (("reports", "/reports"), ("report", "/reports/1")):
                    await tab.open(server.url + path, width=_WIDTH, height=_HEIGHT)
                    taken.append(await _keep(tab, folder / f"cloud-{name}-{language}.png"))
                await make_token(tab, server, department="571", project="HZ-12")
                taken.append(await _keep(tab, folder / f"cloud-token-{language}.png"))
    return taken


async def _send(server: CloudServer, token: str, reports: Sequence[Report]) -> None:
    """One agent enrols and sends all of them, in their order."""
    agent = HandAgent(server.url)
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, token, name="lab-3"))[0] == 201
        for seq, report in enumerate(reports, 1):
            report.seq = seq
            report.agent = {**report.agent, "agent_id": agent.agent_id}
            status, answer = await agent.upload(session, report)
            assert status == 201, answer


async def _keep(tab: Tab, picture: Path) -> Path:
    """What is visible, in few colours: the pages have few."""
    image = Image.open(io.BytesIO(await tab.picture())).convert("RGB").quantize(_COLOURS)
    await asyncio.to_thread(image.save, picture, optimize=True)
    return picture


if __name__ == "__main__":
    given = [read_report(Path(name).read_bytes()) for name in sys.argv[1:]]
    for path in asyncio.run(photograph(given, PICTURES)):
        print(path)
