"""New keys for a server: its agents follow, and what the old ones signed still holds."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ots.remote.membership import read_issuers, read_membership
from ots.signing.keys import load_or_make, write_public
from ots.store import Store
from tests.agent_kit import Agent
from tests.cloud_kit import cloud_server
from tests.command_line import CommandLine
from tests.server_database import environment

pytestmark = pytest.mark.slow


def test_agents_follow_from_key_to_key_and_lose_nothing(tmp_path: Path) -> None:
    """Two changes of each key while an agent was away: its next upload is acknowledged by the newest one."""
    line, folder = CommandLine(tmp_path / "line"), tmp_path / "server"
    agent = Agent(tmp_path / "agent")

    def keys(*words: str) -> Any:
        return line.json("server", "keys", *words, "--data", str(folder), env=environment(folder))

    with cloud_server(folder) as cloud:
        agent.enrol(cloud, cloud.token())
        with Store.open(agent.folder) as store:
            agent.measure(store)
            assert len(agent.send(store).sent) == 1
        before = keys("list")
        # Another terminal, while the server runs: it takes the new keys when it starts the next time.
        made = {purpose: keys("rotate", purpose)["key"] for purpose in ("receipt", "licence")}
        with Store.open(agent.folder) as store:
            agent.measure(store)
            assert len(agent.send(store).sent) == 1
        port = cloud.port
    made = {purpose: keys("rotate", purpose)["key"] for purpose in made}
    after = keys("list")
    for purpose in ("receipt", "licence"):
        assert (after[purpose][0], after[purpose][-1]) == (made[purpose], before[purpose][0])
        assert len(after[purpose]) == 3
        in_use = folder / f"{purpose}.key"
        assert write_public(load_or_make(in_use).public_key()) == made[purpose]
        assert stat.S_IMODE(in_use.stat().st_mode) == 0o600
    assert not [path for path in folder.iterdir() if path.name.startswith(".key-")]
    with cloud_server(folder, port=port), Store.open(agent.folder) as store:
        agent.measure(store)
        outcome = agent.send(store)
        assert (len(outcome.sent), outcome.stopped) == (1, None)
    member = read_membership(agent.folder)
    assert member is not None and member.receipt_keys == list(reversed(after["receipt"]))
    assert read_issuers(agent.folder) == list(reversed(after["licence"]))
    shown = line.run("license", "show", "--json", env={"OTS_DATA_DIR": str(agent.folder)})
    assert json.loads(shown.stdout)["tier"] == "friendly", shown.stdout


def test_a_place_without_a_server_has_no_keys(tmp_path: Path) -> None:
    for words in (("list",), ("rotate", "receipt")):
        done = CommandLine(tmp_path).run("server", "keys", *words, "--data", str(tmp_path / "none"))
        assert done.returncode == 2 and "there is no server in" in done.stderr
        assert not (tmp_path / "none").exists()
