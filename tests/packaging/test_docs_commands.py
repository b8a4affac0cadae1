"""Every command in the README and the guide runs, with the exit code that the text promises.

In a fenced block `console` or `sh`, a line that starts with `$ ` is a command. It runs in a home of its own,
the addresses of the text replaced by those of the embedded peers and of a cloud server. A comment at the end
of a line promises an exit code other than 0: `# exit 1`. What clones the repository or calls make is tested
elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ots.server.peers.process import Peers
from tests.cloud_kit import ADMIN_PASSWORD, CloudServer, administrator, cloud_server
from tests.server_database import named

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("README*.md")),
    *sorted((ROOT / "docs").glob("guide/**/*.md")),
    ROOT / "docs" / "faq.md",
]

BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.M | re.S)
EXIT = re.compile(r"\s+#.*\bexit (\d+)\b.*$")
ELSEWHERE = re.compile(r"(sudo )?(git clone|cd|make (demo|test|check|peers|bench|lab|docs))\b")

STANDS_FOR = {
    "http://127.0.0.1:8080": "url",
    "https://127.0.0.1:8443": "tls_url",
    "127.0.0.1:8080": "http",
    "127.0.0.1:8443": "https",
    "127.0.0.1:2121": "ftp",
    "127.0.0.1:2525": "smtp",
    "127.0.0.1:2110": "pop3",
    "127.0.0.1:5353": "dns",
    "127.0.0.1:2112": "udp_echo",
}
"""Addresses in the text, and the embedded peer that is meant."""

ON_THE_SERVER = re.compile(r".*\bots server (token|user|backup|keys|content)\b")
"""Commands for the machine on which that server runs."""

CLOUD = "http://127.0.0.1:8443"
"""The address in the text of a cloud server that runs in another terminal."""


@dataclass(frozen=True)
class Line:
    """A command as it stands in a page."""

    page: Path
    number: int
    text: str
    code: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def lines() -> Iterator[Line]:
    for page in PAGES:
        text = page.read_text("utf-8") if page.exists() else ""
        for block in BLOCK.finditer(text):
            first = text[: block.start(1)].count("\n") + 1
            for offset, line in enumerate(block[1].splitlines()):
                if line.startswith("$ "):
                    promised = EXIT.search(line)
                    command = EXIT.sub("", line.removeprefix("$ "))
                    yield Line(page, first + offset, command, int(promised[1]) if promised else 0)


LINES = list(lines())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's home: commands of a page build on one another, so all share it."""
    folder = tmp_path_factory.mktemp("home")
    for source in (ROOT / "docs" / "guide").glob("*.yaml"):
        (folder / source.name).write_bytes(source.read_bytes())
    return folder


def environment(home: Path) -> dict[str, str]:
    """That of a reader: nothing of OTS in it, `ots` on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTS_", "XDG_"))}
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def cloud(home: Path) -> Iterator[CloudServer]:
    """The server of the other terminal; its first administrator's new password lies in a file."""
    with cloud_server(home / "server") as running:
        asyncio.run(_move_in(running))
        assert running.first is not None
        log_in = {"name": running.first["name"], "password": ADMIN_PASSWORD}
        (home / "login.json").write_text(json.dumps(log_in), "utf-8")
        yield running


async def _move_in(running: CloudServer) -> None:
    async with administrator(running):
        pass


def with_peers(command: str, peers: Peers) -> str:
    """The command against the embedded peers."""
    command = command.removeprefix(".venv/bin/").removeprefix(". .venv/bin/activate && ")
    for address, name in STANDS_FOR.items():
        command = command.replace(address, getattr(peers, name, None) or peers.authority(name))
    return command


@pytest.mark.parametrize("line", [line for line in LINES if not ELSEWHERE.match(line.text)], ids=str)
def test_the_command_does_what_the_text_says(
    line: Line, home: Path, peers: Peers, request: pytest.FixtureRequest
) -> None:
    """It ends with the promised code, within a minute, and never with a traceback."""
    command, reader = line.text, environment(home)
    if CLOUD in command or ON_THE_SERVER.match(command):
        cloud: CloudServer = request.getfixturevalue("cloud")
        command = command.replace(CLOUD, cloud.url)
        reader |= {"OTS_SERVER_DATA": str(cloud.folder), **named(cloud.database)}
    outcome = subprocess.run(
        ["bash", "-c", with_peers(command, peers)],
        cwd=home,
        env=reader,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = outcome.stdout + outcome.stderr
    assert outcome.returncode == line.code, said
    assert "Traceback" not in said


def test_the_readme_names_the_two_commands() -> None:
    """In every language, what to type first is there, and is what the Makefile has."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in sorted(ROOT.glob("README*.md")):
        named = set(re.findall(r"\bmake ([a-z]+)\b", page.read_text("utf-8")))
        assert {"demo", "test"} <= named <= targets, page.name


def test_every_command_of_the_help_exists() -> None:
    """A word after `ots` in the pages' text is a command or a kind."""
    from ots.commands.index import KINDS, SECTIONS

    known = {name for names in SECTIONS.values() for name in names} | {
        kind.replace("_", "-") for kind in KINDS
    }
    for line in LINES:
        words = shlex.split(with_plain_start(line.text))
        if words and words[0] == "ots" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in known, str(line)


def with_plain_start(command: str) -> str:
    return command.removeprefix(".venv/bin/")


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: str(page.name))
def test_links_between_pages_resolve(page: Path) -> None:
    """A relative link points at something that is there."""
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
