"""The server behind nginx, configured as the guide says: signed requests arrive whole, cookies are secure."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.peers.authority import Authority
from tests.peers.process import free_port, running
from tests.peers.require import require

pytestmark = pytest.mark.slow
_GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "cloud-server.md"
_FRAME = """\
{user}
daemon off;
pid {folder}/nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    {server}
}}
"""


def _sample(language: str) -> str:
    """The guide's block in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", _GUIDE.read_text("utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(tmp_path / "server", options=["--proxy", "127.0.0.1"]) as started:
        yield started


@pytest.fixture
def proxy(tmp_path: Path, cloud: CloudServer, ca: Authority) -> Iterator[str]:
    """nginx with the guide's own words, but for addresses and files; gives its address."""
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    server = _sample("nginx")
    for text, meant in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("ots.example", "localhost"),
        ("fullchain.pem", str(ca.chain)),
        ("privkey.pem", str(ca.key)),
        ("http://127.0.0.1:8443", cloud.url),
    ):
        assert text in server
        server = server.replace(text, meant)
    config = folder / "nginx.conf"
    config.write_text(
        _FRAME.format(user="user root;" if os.geteuid() == 0 else "", folder=folder, server=server)
    )
    argv: list[str | Path] = [require("nginx"), "-p", folder, "-e", folder / "error.log", "-c", config]
    with running(argv, port=port, folder=folder):
        yield f"https://localhost:{port}"


async def test_behind_nginx_agents_enrol_and_upload(cloud: CloudServer, proxy: str, ca: Authority) -> None:
    agent = HandAgent(proxy)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ca.trusting())) as session:
        assert (await agent.enrol(session, cloud.open_token()))[0] == 201
        status, answer = await agent.upload(session, agent.report())
        assert status == 201 and answer["receipt"]


async def test_behind_nginx_people_come_in_by_a_secure_cookie(
    cloud: CloudServer, proxy: str, ca: Authority
) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ca.trusting())) as session:
        origin = {"Origin": proxy}
        async with session.post(f"{proxy}/api/v1/session", json=cloud.first, headers=origin) as response:
            assert response.status == 200, await response.text()
            cookie, csrf = response.cookies["ots-session"], (await response.json())["csrf"]
        assert cookie["secure"] and cookie["httponly"]
        headers = {**origin, "X-CSRF-Token": csrf, "Cookie": f"ots-session={cookie.value}"}
        async with session.delete(f"{proxy}/api/v1/session", headers=headers) as response:
            assert response.status == 204


def test_caddy_understands_the_two_lines(tmp_path: Path) -> None:
    config = tmp_path / "Caddyfile"
    config.write_text(_sample("caddy"))
    done = subprocess.run(
        [require("caddy"), "adapt", "--config", config, "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    [server] = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    [route] = server["routes"]
    assert server["listen"] == [":443"] and route["match"] == [{"host": ["ots.example"]}]
    assert '"dial": "127.0.0.1:8443"' in json.dumps(route)
