"""A probe that somebody else wrote and installed: listed, run, reported; broken ones harm nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.peers.nginx import Nginx

PLUGIN = Path(__file__).with_name("plugin")


@dataclass(frozen=True)
class Ots:
    """`ots` in an environment to which the foreign distribution was added."""

    env: dict[str, str]
    cwd: Path

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        outcome = subprocess.run(
            [sys.executable, "-m", "ots", *arguments],
            cwd=self.cwd,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == expect, outcome.stdout + outcome.stderr
        return outcome.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture(scope="module")
def ots(tmp_path_factory: pytest.TempPathFactory) -> Ots:
    """Installs tests/packaging/plugin beside OTS, in a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    source, target = folder / "source", folder / "target"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    home = folder / "home"
    home.mkdir()
    env = {**os.environ, "PYTHONPATH": str(target), "HOME": str(home), "OTS_LANG": "en"}
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        env.pop(name, None)
    return Ots(env, home)


def test_it_is_listed_with_its_distribution(ots: Ots) -> None:
    """`ots probes list` shows where a kind comes from."""
    rows = {row["kind"]: row for row in ots.json("probes", "list")["probes"]}
    assert rows["knock"]["from"] == "ots-knock"
    assert rows["ping"]["from"] == "built-in"


def test_a_broken_one_is_listed_with_its_reason(ots: Ots) -> None:
    """A probe that can't be imported is named, and its fault with it."""
    broken = ots.json("probes", "list")["broken"]
    assert "knock_that_is_not_there" in broken["knock_broken"]
    assert "ots-knock" in broken["knock_broken"]
    assert "broken" in ots("probes", "list")


def test_a_kind_registered_twice_is_named(ots: Ots) -> None:
    """A second `ping` does not replace the built-in one in silence."""
    broken = ots.json("probes", "list")["broken"]
    assert "registered twice" in broken["ping (ots-knock)"]


def test_asking_for_a_broken_one_is_wrong_usage(ots: Ots) -> None:
    """`ots knock-broken` ends with a sentence and exit code 2."""
    ots("knock-broken", "127.0.0.1:80", expect=2)


def test_it_shows_its_parameters_and_metrics(ots: Ots) -> None:
    """`ots probes show` knows it like any other."""
    shown = ots.json("probes", "show", "knock")
    assert [metric["key"] for metric in shown["metrics"]] == ["knock_seconds"]
    assert {param["name"]: param["default"] for param in shown["params"]}["timeout"] == "3 s"


def test_it_runs_and_appears_in_the_report(ots: Ots, nginx: Nginx) -> None:
    """`ots knock` measures a real server, and the report has its metric."""
    report = ots.json("knock", f"127.0.0.1:{nginx.port}", "--repeat", "3")
    (step,) = report["steps"]
    assert (step["probe"], step["outcome"]) == ("knock", "success")
    (metric,) = step["metrics"]
    assert (metric["key"], metric["n_valid"]) == ("knock_seconds", 3)
    assert 0 < metric["stats"]["median"] < 1
    assert "knock" in ots("report", "show", "last")


def test_it_runs_in_a_case_with_a_threshold(ots: Ots, nginx: Nginx) -> None:
    """A case may use it, and its metric is known to thresholds."""
    case = ots.cwd / "doors.yaml"
    case.write_text(
        "ots: 1\nid: doors\nversion: 1\ntitle: {en: Doors}\nsteps:\n"
        f"  - {{id: front, probe: knock, target: '127.0.0.1:{nginx.port}',\n"
        "     thresholds: [{metric: knock_seconds, stat: max, fail: '< 2 s'}]}\n"
    )
    report = ots.json("run", str(case))
    assert report["verdict"] == "pass"
