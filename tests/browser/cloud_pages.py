"""The server's pages as a person uses them: fills in forms, logs in, makes a token."""

from __future__ import annotations

import json

from tests.browser.chromium import Tab
from tests.cloud_kit import ADMIN_PASSWORD, CloudServer


async def fill(tab: Tab, action: str, fields: dict[str, str]) -> None:
    """Fills in the form with this action and sends it by its first button."""
    form = f"document.querySelector('form[action=\"{action}\"]')"
    for name, value in fields.items():
        await tab.evaluate(f"{form}.elements[{json.dumps(name)}].value = {json.dumps(value)}")
    await tab.act(f"{form}.querySelector('button').click()")


async def log_in(tab: Tab, server: CloudServer) -> None:
    """As the first administrator, who has to choose a password first."""
    assert server.first is not None
    await tab.open(f"{server.url}/login", width=1200)
    await fill(tab, "/login", server.first)
    assert await tab.evaluate("location.pathname") == "/password"
    new = {"present": server.first["password"], "new": ADMIN_PASSWORD, "again": ADMIN_PASSWORD}
    await fill(tab, "/password", new)
    assert await tab.evaluate("location.pathname") == "/"


async def make_token(tab: Tab, server: CloudServer, **fields: str) -> str:
    """A token made on the page, which shows it this once."""
    await tab.open(f"{server.url}/tokens", width=1200)
    await fill(tab, "/tokens", fields)
    token: str = await tab.evaluate("document.querySelector('#token').textContent")
    return token
