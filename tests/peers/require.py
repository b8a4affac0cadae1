"""`require("fping")`: a test that cannot run says why; where everything must run, it fails instead."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tests.peers import programs

__all__ = ["MISSING", "NOT_APPLICABLE", "all_required", "cannot", "not_applicable", "require"]

MISSING = "missing: "
NOT_APPLICABLE = "not applicable: "


def all_required() -> bool:
    """Whether a test that cannot run counts as failed (`OTS_REQUIRE_ALL=1`, as in CI)."""
    return os.environ.get("OTS_REQUIRE_ALL", "") not in ("", "0")


def require(name: str) -> str:
    """The path of a program of tests.peers.programs; without it the test does not run."""
    if reason := programs.lack(name):
        if all_required():
            pytest.fail(f"{MISSING}{reason}", pytrace=False)
        pytest.skip(f"{MISSING}{reason}")
    return programs.find(name)


def cannot(reason: str) -> NoReturn:
    """Ends a test that this machine doesn't let run; where everything must run, it fails."""
    if all_required():
        pytest.fail(f"{MISSING}{reason}", pytrace=False)
    pytest.skip(f"{MISSING}{reason}")


def not_applicable(reason: str) -> None:
    """Skips a test that makes no sense on this machine, even where everything must run."""
    pytest.skip(f"{NOT_APPLICABLE}{reason}")
