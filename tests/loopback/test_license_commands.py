"""Licences as a user meets them: a gated kind is refused, asked for, granted, run, and ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ots.config.agent import agent_id
from ots.license import issue
from ots.license.document import Subject
from ots.store.licences import Licences
from tests.command_line import CommandLine
from tests.licence_kit import DAY, Issuer
from tests.peers.nginx import Nginx

PROBE = '''
from ots.probes.tcp_connect import TcpConnect


class VoiceRing(TcpConnect):
    """Stands for a kind that only `professional` covers."""

    kind = "voice_ring"
'''


class Machine(CommandLine):
    """`ots` on a machine that has a kind `voice_ring`."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PYTHONPATH": str(self.folder / "kinds")}

    def report(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.json(*arguments, code=code)
        return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("licensed")
    about = folder / "kinds" / "voice_ring-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "kinds" / "voice_ring.py").write_text(PROBE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: voice-ring\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[ots.probes]\nvoice_ring = voice_ring:VoiceRing\n")
    return Machine(folder)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def granted(issuer: Issuer, agent: str, serial: int, days: float, **more: Any) -> str:
    """A licence of the tier `professional` from now on."""
    binding = issue.for_agents([agent])
    subject = Subject(org="ACME", project="P-17")
    licence = issue.new_licence("professional", subject, binding, serial, time.time(), days=days, **more)
    return issuer.text(licence)


def test_without_a_licence_a_gated_kind_is_refused_with_the_way_out(machine: Machine, nginx: Nginx) -> None:
    """Refused alone: exit code 6. Beside a step that runs: that one counts, and the report names both."""
    refused = machine.report("voice-ring", f"127.0.0.1:{nginx.port}", code=6)
    (step,) = refused["steps"]
    assert (step["outcome"], step["reason"], step["attempts"]) == ("skipped", "license", [])
    assert step["error"]["class"] == "license"
    assert "professional" in step["error"]["remedy"]
    assert "ots license why probe:voice_ring" in step["error"]["remedy"]
    assert refused["agent"]["licence"] == {
        "tier": "default",
        "licence_id": None,
        "serial": None,
        "state_at_start": None,
        "state_at_end": None,
    }
    case = machine.folder / "both.yaml"
    case.write_text(
        "ots: 1\nid: both\nversion: 1\ntitle: {en: Both}\nsteps:\n"
        f"  - {{id: ring, probe: voice_ring, target: '127.0.0.1:{nginx.port}'}}\n"
        f"  - {{id: door, probe: tcp_connect, target: '127.0.0.1:{nginx.port}'}}\n"
    )
    both = machine.report("run", str(case))
    assert [row["outcome"] for row in both["steps"]] == ["skipped", "success"]
    why = machine.json("license", "why", "voice-ring", code=6)
    assert (why["refused_by"], why["allowed_by_tier"]) == ("licence", "professional")


def test_a_default_run_reads_no_licence_and_loads_no_signatures(machine: Machine, nginx: Nginx) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ots", "tcp-connect", f"127.0.0.1:{nginx.port}"],
        env=machine.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ots.license.entitlement" in loaded
    assert loaded.isdisjoint(
        {"ots.license.installed", "ots.store.licences", "ots.signing.statement", "ots.signing.keys"}
    )


def test_a_licence_is_asked_for_installed_and_used(machine: Machine, issuer: Issuer, nginx: Nginx) -> None:
    """The next command has it, with nothing restarted; the report says under which licence it ran."""
    request, path = machine.folder / "request.jws", machine.folder / "licence.jws"
    assert machine.run("license", "request", "--tier", "professional", "-o", str(request)).returncode == 0
    wish = issue.read_request(request.read_text())
    assert wish["tier"] == "professional"
    path.write_text(granted(issuer, wish["agent_id"], 1, 365, note="loan"))
    stranger = machine.run("license", "install", str(path))
    assert stranger.returncode == 6
    assert "license.issuers" in stranger.stderr
    assert machine.run("config", "set", "license.issuers", issuer.public).returncode == 0
    installed = machine.json("license", "install", str(path))["installed"]
    assert (installed["state"], installed["serial"], installed["note"]) == ("valid", 1, "loan")
    ran = machine.report("voice-ring", f"127.0.0.1:{nginx.port}")
    assert ran["steps"][0]["outcome"] == "success"
    assert ran["agent"]["licence"] == {
        "tier": "professional",
        "licence_id": installed["licence_id"],
        "serial": 1,
        "state_at_start": "valid",
        "state_at_end": "valid",
    }
    (shown,) = machine.json("license", "show", "--all")["licences"]
    assert shown["in_force"] and shown["licence_id"] == installed["licence_id"]
    text = machine.run("--lang", "zh", "license", "show").stdout
    assert "professional" in text and "ACME / P-17" in text and "有效" in text
    assert machine.run("license", "install", str(machine.folder)).returncode == 2


def test_a_run_ends_with_the_rights_that_it_began_with(
    machine: Machine, issuer: Issuer, nginx: Nginx
) -> None:
    """The licence ends meanwhile: the run goes on and says so, the next one is refused. Before: a warning."""
    data = machine.folder / "data"
    own_id = agent_id(data)
    settings = machine.folder / "config" / "ots" / "settings.yaml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"license:\n  issuers: {issuer.public}\n")
    began = time.monotonic()
    here = Licences(data, own_id, (issuer.public,))
    here.install(granted(issuer, own_id, 2, 8 / DAY, grace_days=0), time.time())
    done = machine.run(
        "voice-ring", f"127.0.0.1:{nginx.port}", "--count", "85", "--interval", "100 ms", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began > 8
    assert done.stderr.count("the licence professional ends on") == 1
    report = json.loads(done.stdout)
    assert report["steps"][0]["outcome"] == "success"
    licence = report["agent"]["licence"]
    assert licence["state_at_start"] in ("valid", "refresh-due")
    assert licence["state_at_end"] == "expired"
    after = machine.run("voice-ring", f"127.0.0.1:{nginx.port}")
    assert after.returncode == 6
    assert "does not count" in after.stderr


def test_a_function_that_is_switched_off_is_off_in_every_way(tmp_path: Path, nginx: Nginx) -> None:
    """As a step, as a precheck, as a format; the place is named. A misspelt switch is an error."""
    machine = CommandLine(tmp_path)
    settings = tmp_path / "config" / "ots" / "settings.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("features:\n  tcp_connect: off\n  export:pdf: off\n  dns_lookup: on\n")
    refused = machine.run("tcp-connect", f"127.0.0.1:{nginx.port}")
    assert refused.returncode == 6
    assert f"{settings}:2" in refused.stdout.replace("\n", "").replace("  ", "")
    case = tmp_path / "checked.yaml"
    case.write_text(
        "ots: 1\nid: checked\nversion: 1\ntitle: {en: Checked}\n"
        f"precheck: {{probe: tcp_connect, target: '127.0.0.1:{nginx.port}', on_fail: fail}}\n"
        f"steps:\n  - {{id: get, probe: http_download, target: '{nginx.url}/'}}\n"
    )
    checked = machine.json("run", str(case), code=6)
    assert checked["run"]["precheck"] is None
    assert [row["reason"] for row in checked["steps"]] == ["license"]
    pdf = machine.run("ping", "127.0.0.1", "--format", "pdf", "--output", str(tmp_path / "x.pdf"))
    assert (pdf.returncode, (tmp_path / "x.pdf").exists()) == (6, False)
    unknown = machine.run("config", "set", "features.tcp_conect", "off")
    assert (unknown.returncode, "tcp_conect" in settings.read_text()) == (2, False)
    settings.write_text("features:\n  tcp_conect: off\n")
    misspelt = machine.run("ping", "127.0.0.1")
    assert misspelt.returncode == 2
    assert "tcp_connect" in misspelt.stderr
