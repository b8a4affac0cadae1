"""Builds what a user installs, once for each session, from a copy of the working tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["ROOT", "Built", "built", "installed", "repository_files"]

ROOT = Path(__file__).parents[2]

_MADE = re.compile(r"(^|/)(\.venv|\.[a-z_]+_cache|__pycache__|build|dist|[^/]+\.egg-info)/|^PKG-INFO$")


def repository_files() -> list[str]:
    """What git has or would take, as paths from the root; without git, what an unpacked sdist has."""
    if not (ROOT / ".git").exists():
        names = (str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file())
        return sorted(name for name in names if not _MADE.search(name))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())


@dataclass(frozen=True)
class Built:
    """The two archives."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An sdist, and the wheel made from that sdist, as `python -m build` does for a release."""
    folder = tmp_path_factory.mktemp("build")
    source, out = folder / "source", folder / "dist"
    for name in repository_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return Built(next(out.glob("*.tar.gz")), next(out.glob("*.whl")))


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment of its own into which the wheel was installed.

    The dependencies come from the environment of the tests, by a path file; nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    libraries = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("\n".join(libraries) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-qq"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--ignore-installed", str(built.wheel)], check=True)
    return folder / "bin"
