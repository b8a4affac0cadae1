"""The server's pages as a person uses them: fills in forms, logs in, makes a token."""

from __future__ import annotations

import json

from tests.browser.chromium import Tab
from tests.cloud_kit import ADMIN_PASSWORD, CloudServer


async def fill(tab: Tab, which: str, fields: dict[str, str], *, button: str = "button") -> None:
    """Fills in the form with this action (`/…`) or id (`#…`) and sends it by its first button, or by the one
    that `button` selects. Of a box to tick, any value ticks it."""
    form = f"document.querySelector({json.dumps(which if which[0] == '#' else _with_action(which))})"
    for name, value in fields.items():
        field = f"{form}.elements[{json.dumps(name)}]"
        await tab.evaluate(
            f"{field}.type === 'checkbox' ? {field}.checked = true : {field}.value = {json.dumps(value)}"
        )
    await tab.act(f"{form}.querySelector({json.dumps(button)}).click()")


def _with_action(path: str) -> str:
    return f'form[action="{path}"]'


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
