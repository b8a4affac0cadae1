"""`ots agent hold|release|policy` as a user runs them, and what a hold does to a run on its way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ots.session.policy_file import choose_preset, present_policy
from tests.command_line import CommandLine

_ROOT = Path(__file__).parents[2]

_CASE = """\
ots: 1
id: office
steps:
  - {id: near, probe: ping, target: 10.1.2.3, params: {count: 5, interval: 0.5 s}}
  - {id: far, probe: ping, target: 8.8.8.8, params: {count: 5, interval: 0.5 s}}
  - {id: load, probe: http_download, target: "http://8.8.8.8/", params: {size: 1 MB}}
"""


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    """`ots` in a home of its own."""
    return CommandLine(tmp_path)


def policy_of(ots: CommandLine) -> Path:
    return ots.folder / "config/ots/policy.yaml"


def write_policy(ots: CommandLine, text: str) -> Path:
    path = policy_of(ots)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def explained(ots: CommandLine, *options: str, code: int) -> dict[str, Any]:
    case = ots.folder / "office.yaml"
    case.write_text(_CASE)
    found: dict[str, Any] = ots.json("agent", "policy", "explain", str(case), *options, code=code)
    return found


def test_presets_are_chosen_and_the_rest_of_the_file_stays(
    ots: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ots.json("agent", "policy", "set", "none")["file"] == str(policy_of(ots))
    assert policy_of(ots).stat().st_mode & 0o777 == 0o644
    assert ots.json("agent", "policy", "show")["remote"]["probes"] == []
    monkeypatch.setenv("XDG_CONFIG_HOME", ots.environment["XDG_CONFIG_HOME"])
    write_policy(ots, "# ours\nots_policy: 1\npreset: 'light'  # for now\nremote: {flows: 3}\n")
    choose_preset("standard")
    kept = "# ours\nots_policy: 1\npreset: standard  # for now\nremote: {flows: 3}\n"
    assert policy_of(ots).read_text() == kept
    write_policy(ots, "ots_policy: 1\nremote: {flows: 3}\n")
    choose_preset("standard")
    found = present_policy().remote
    assert (found.flows, found.heavy) == (3, "consented")


def test_explain_names_the_entry_or_the_reason(ots: CommandLine) -> None:
    write_policy(ots, "ots_policy: 1\nremote: {targets: [public, 10.1.0.0/16]}\n")
    found = explained(ots, code=1)
    assert not list(ots.folder.glob("data/policy-usage*")), "a question leaves nothing behind"
    near, far, load = found["steps"]
    assert found["allowed"] and 0 <= found["start_delay_seconds"] < 60
    assert (near["allowed"], near["targets"][0]["entry"]) == (True, "10.1.0.0/16")
    assert (far["allowed"], far["targets"][0]["entry"]) == (True, "public")
    assert not load["allowed"] and {reason["code"] for reason in load["reasons"]} == {"kind", "consent"}
    assert explained(ots, "--issuer", "local", code=0)["allowed"]
    write_policy(ots, "ots_policy: 1\nremote: {hours: [{from: '22:00', to: '06:00', zone: UTC}]}\n")
    by_day = explained(ots, "--at", "2026-03-04T12:00+00:00", code=1)
    assert [reason["code"] for reason in by_day["reasons"]] == ["hours"] and not by_day["allowed"]
    text = ots.run("agent", "policy", "explain", str(ots.folder / "office.yaml")).stdout
    assert "✘ near   ping" in text and "private" in text
    assert ots.run("agent", "policy", "explain", "ping", "--at", "soon").returncode == 2


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("ots_policy: 1\nremote: {targets: [10.0.0.1/8]}\n", 0o644, "policy.yaml:2:20: "),
        ("ots_policy: 1\n", 0o666, "others can write there"),
        ("ots_policy: 1\n", 0o664, "others can write there"),
        ("- a\n", 0o600, "begins with ots_policy: 1"),
    ],
)
def test_a_file_that_can_not_be_used_leaves_nothing_to_servers(
    ots: CommandLine, text: str, mode: int, said: str
) -> None:
    path = write_policy(ots, text)
    path.chmod(mode)
    checked = ots.run("agent", "policy", "check", str(path))
    assert checked.returncode == 2 and said in checked.stderr
    shown = ots.json("agent", "policy", "show", code=2)
    assert said in shown["fault"] and shown["remote"]["probes"] == []


def test_a_damaged_policy_is_mended_by_nobody_but_its_owner(ots: CommandLine) -> None:
    text = "ots_policy: 1\nremote: {targets: [10.0.0.1/8]}\n"
    path = write_policy(ots, text)
    found = explained(ots, code=1)
    assert not found["allowed"] and found["reasons"][0]["code"] == "damaged"
    assert ots.run("agent", "policy", "set", "standard").returncode == 2
    assert path.read_text() == text


def test_a_folder_that_others_can_write_is_no_place_for_a_policy(ots: CommandLine) -> None:
    path = write_policy(ots, "ots_policy: 1\n")
    path.parent.chmod(0o777)
    assert "others can write there" in ots.json("agent", "policy", "show", code=2)["fault"]


def test_a_good_file_passes_the_check(ots: CommandLine) -> None:
    path = write_policy(ots, "ots_policy: 1\npreset: standard\nremote: {trusted: [10.1.0.0/16]}\n")
    assert ots.json("agent", "policy", "check", str(path))["remote"]["trusted"] == ["10.1.0.0/16"]
    assert "10.1.0.0/16" in ots.run("agent", "policy", "check", str(path)).stdout


def test_a_hold_ends_what_runs_within_two_seconds_and_lets_nothing_begin(ots: CommandLine) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.policy_agent"],
        cwd=_ROOT,
        env=ots.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdin is not None and agent.stdout is not None
    with agent:
        agent.stdout.readline()
        step = "  - {id: a, probe: ping, target: 127.0.0.1, params: {count: 600, interval: 0.1 s}}\n"
        order = {
            "case": f"ots: 1\nid: long\nsteps:\n{step}",
            "issuer": {"kind": "schedule"},
            "ahead": 0,
            "order_id": "one",
            "server": None,
            "brief": False,
        }

        def send() -> None:
            assert agent.stdin is not None
            agent.stdin.write(json.dumps(order) + "\n")
            agent.stdin.flush()

        send()
        while not list((ots.folder / "data").glob("**/*.lock")):
            assert agent.poll() is None
            time.sleep(0.05)
        assert ots.json("agent", "hold", "--reason", "too loud")["by"] == "local"
        flag = ots.folder / "data/hold.local"
        report = json.loads(agent.stdout.readline())["report"]
        assert time.time() - flag.stat().st_mtime < 2
        assert (report["run"]["state"], report["run"]["reason"]) == ("aborted", "held")
        assert explained(ots, "--issuer", "schedule", code=1)["reasons"][0]["code"] == "held"
        send()
        error = json.loads(agent.stdout.readline())["report"]["steps"][0]["attempts"][0]["error"]
        assert (error["code"], error["message"]) == ("POLICY", "held at this machine: too loud")
        assert ots.json("agent", "policy", "show")["held"]["reason"] == "too loud"
        assert ots.run("ping", "127.0.0.1", "--count", "1").returncode == 0
        assert ots.json("agent", "release") == {"held": False, "was": "local"}
        assert ots.json("agent", "release") == {"held": False, "was": None}
        agent.stdin.close()
        assert agent.wait(10) == 0


def test_a_server_can_not_lift_what_was_placed_here(tmp_path: Path) -> None:
    from ots.session import hold

    hold.place(tmp_path, "remote", "maintenance", 0.0)
    hold.place(tmp_path, "local", None, 0.0)
    left = hold.lift(tmp_path, "remote")
    assert left is not None and left.by == "local"
    hold.place(tmp_path, "remote", "again", 0.0)
    assert hold.lift(tmp_path, "local") is None
    (tmp_path / "hold.local").write_bytes(b"\xff{")
    assert hold.held(tmp_path) == hold.Hold("local")
