"""Setting up from nothing: what make says when it can't, and that installing peers starts no service."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.distribution import ROOT
from tests.peers import install


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """make in a folder that has nothing but what make itself needs."""
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_new_enough_python_make_says_so(tmp_path: Path) -> None:
    """The sentence names the version that it takes, and nothing is left behind."""
    outcome = _make(tmp_path, "PYTHON=", "demo")
    assert outcome.returncode != 0
    assert "Python 3.11 or newer" in outcome.stderr
    assert not (tmp_path / ".venv").exists()


def test_without_venv_make_names_the_package(tmp_path: Path) -> None:
    """Debian's Python comes without venv; the sentence says what to install."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    python.chmod(0o755)
    outcome = _make(tmp_path, f"PYTHON={python}", "demo")
    assert outcome.returncode != 0
    assert "apt install python3-venv" in outcome.stderr
    assert not (tmp_path / ".venv").exists()


def test_help_names_every_target(tmp_path: Path) -> None:
    """`make` alone says what there is."""
    outcome = _make(tmp_path)
    assert outcome.returncode == 0
    for target in ("demo", "test", "check", "peers", "bench", "lab", "docs", "clean"):
        assert f"make {target} " in outcome.stdout


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 104\n"], ids=["nothing", "the-machine's-own"])
def test_services_are_forbidden_only_while_packages_unpack(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stood in policy-rc.d's place before stands there afterwards, though the installation failed."""
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(install, "POLICY", policy)
    if before is not None:
        policy.write_text(before)
        policy.chmod(0o750)
    with pytest.raises(OSError, match="network"), install.services_forbidden():
        assert subprocess.run([policy], check=False).returncode == 101
        raise OSError("no network")
    if before is None:
        assert list(tmp_path.iterdir()) == []
    else:
        assert (policy.read_text(), policy.stat().st_mode & 0o777) == (before, 0o750)
        assert list(tmp_path.iterdir()) == [policy]


def test_what_a_killed_installation_left_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After kill -9 the machine's own policy still lies aside; the next call puts it back."""
    policy, kept = tmp_path / "policy-rc.d", tmp_path / "policy-rc.d.kept-by-ots"
    monkeypatch.setattr(install, "POLICY", policy)
    policy.write_text(install.FORBID)
    kept.write_text("#!/bin/sh\nexit 0\n")
    with install.services_forbidden():
        assert policy.read_text() == install.FORBID
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert not kept.exists()


def test_a_machine_of_somebodys_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test` installs by itself only in CI, in a container, or where everything is asked for."""
    monkeypatch.setattr(install, "in_container", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("OTS_REQUIRE_ALL", raising=False)
    assert install.why_not(auto=True) is not None
    assert install.why_not(auto=False) is None
    monkeypatch.setenv("CI", "true")
    assert install.why_not(auto=True) is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (install.why_not(auto=True) or "")
