"""Every case that ships runs against the embedded peers, whole, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from ots.server.peers.process import Peers

CASES = sorted(
    entry.name.removesuffix(".yaml") for entry in files("ots.cases").iterdir() if ".yaml" in entry.name
)


@pytest.mark.parametrize("name", CASES)
def test_the_case_runs_and_measures(name: str, peers: Peers, tmp_path: Path) -> None:
    """It exits 0, every step measured something, and no verdict is worse than a warning."""
    variables = {f"OTS_VAR_{name.upper()}": value for name, value in peers.variables().items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTS_", "XDG_"))}
    outcome = subprocess.run(
        [sys.executable, "-m", "ots", "run", name, "--json"],
        cwd=tmp_path,
        env={**kept, **variables, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    report = json.loads(outcome.stdout)
    assert report["run"]["state"] == "completed"
    assert report["verdict"] in ("pass", "warn", "measured")
    for step in report["steps"]:
        assert step["outcome"] == "success", (step["id"], step["error"])
        assert step["metrics"], step["id"]
