"""A pytest plugin: markers that need something, and at the end which tests did not run and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

from tests.peers.require import MISSING, NOT_APPLICABLE, all_required, require

_NEEDED_BY_MARKER = {"netns": "unshare", "browser": "chromium"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Asks for what a test's markers stand for."""
    for marker, program in _NEEDED_BY_MARKER.items():
        if item.get_closest_marker(marker):
            require(program)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything must run, any other skip fails too, wherever it comes from."""
    report = yield
    if report.skipped and all_required() and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        if not reason.startswith(NOT_APPLICABLE):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} did not run, and OTS_REQUIRE_ALL is set: {reason}"
    return report


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names what was missing and how many tests that cost."""
    reports = [r for r in terminalreporter.stats.get("skipped", []) if isinstance(r, pytest.TestReport)]
    lost = Counter(_reason(report).removeprefix(MISSING) for report in reports)
    if not lost:
        return
    terminalreporter.section("tests that did not run")
    for reason, count in lost.most_common():
        terminalreporter.line(f"{count:4d}  {reason}")
        for report in reports:
            if _reason(report).removeprefix(MISSING) == reason:
                terminalreporter.line(f"        {report.nodeid}")
    terminalreporter.line(
        "`make peers` as root installs what Debian has; tests/peers/programs.py is the list."
    )
