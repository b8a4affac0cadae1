"""What is in the wheel and the sdist, and that the wheel works without the checkout."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.distribution import ROOT, Built, repository_files

LINKS = ("probes", "reports", "cases")


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def _wanted() -> set[str]:
    """Every module and data file of the repository, under the name that it has once installed."""
    data = (
        "*.py",
        "ots/py.typed",
        "ots/schema/*.json",
        "ots/locale/*.mo",
        "reports/templates/*",
        "cases/*.yaml",
    )
    tops = ("ots/", "probes/", "reports/", "cases/")
    files = [name for name in repository_files() if not (ROOT / name).is_symlink()]
    return {
        name if name.startswith("ots/") else f"ots/{name}"
        for name in files
        if name.startswith(tops) and any(fnmatch.fnmatch(name, pattern) for pattern in data)
    }


def test_wheel_installs_ots_and_nothing_else(built: Built) -> None:
    """The top level of the wheel is `ots` alone: no `probes`, `reports`, `cases`, `cli` or `tests`."""
    tops = {name.partition("/")[0] for name in _names(built.wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ots"}


def test_wheel_has_every_module_case_template_schema_and_catalogue(built: Built) -> None:
    """Nothing of the four folders is missing; setup.cfg lists the packages by hand, so it can be."""
    assert _wanted() - _names(built.wheel) == set()


def test_sdist_is_the_repository(built: Built) -> None:
    """The sdist has every file of the repository but the three links, which its build does without."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    repository = {name for name in repository_files() if name not in {f"ots/{link}" for link in LINKS}}
    assert repository - names == set()


@pytest.mark.parametrize("link", LINKS)
def test_links_resolve_to_the_real_folders(link: str) -> None:
    """`ots/probes` and its like are relative links to the folders at the top."""
    path = ROOT / "ots" / link
    assert path.is_symlink()
    assert path.readlink() == Path("..") / link
    assert path.resolve() == ROOT / link


@pytest.mark.parametrize("name", ["probes", "reports"])
def test_importing_a_folder_by_its_bare_name_says_the_right_one(name: str) -> None:
    """`import probes` fails with a sentence, so that no class exists twice."""
    outcome = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 1
    assert f"ots.{name}" in outcome.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["probes", "list"], ["cases", "list"]])
def test_the_installed_wheel_runs(installed: Path, tmp_path: Path, arguments: list[str]) -> None:
    """The console script works in an environment that has only the wheel, far from the checkout."""
    for start in ([str(installed / "ots")], [str(installed / "python"), "-m", "ots"]):
        outcome = subprocess.run(
            [*start, *arguments],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        assert outcome.stdout
        assert outcome.stderr == ""


def test_the_installed_modules_are_the_wheels(installed: Path, tmp_path: Path) -> None:
    """The environment of the installed wheel does not reach back into the checkout."""
    code = "import ots.probes, ots.reports, ots.cases; print(ots.__file__, *ots.probes.__path__)"
    outcome = subprocess.run(
        [str(installed / "python"), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(ROOT) not in outcome.stdout
    assert str(installed.parent) in outcome.stdout


def test_the_launcher_of_a_checkout_is_the_command(tmp_path: Path) -> None:
    """`python cli.py` and `python -m ots` do what `ots` does."""
    outputs = {
        subprocess.run(
            [sys.executable, *start, "version"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for start in (["cli.py"], ["-m", "ots"])
    }
    assert len(outputs) == 1
