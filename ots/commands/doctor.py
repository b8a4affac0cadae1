"""`ots doctor`: what this machine can and can't measure, and what to do about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import click

from ots.commands import exit_codes
from ots.commands.checkup import Finding, checkup
from ots.commands.columns import cells, padded
from ots.commands.output import json_option, print_json
from ots.i18n import _

_MARKS = {"ok": ("✔", "green"), "warn": ("!", "yellow"), "fail": ("✘", "red")}
_EXAMPLES = (
    "\b\nExamples:\n  ots doctor\n  ots doctor --online\n  ots doctor --calibrate\n  ots doctor --json"
)


@click.command("doctor", help=_("What this machine can and can't measure, and why.") + "\n\n" + _EXAMPLES)
@click.option("--online", is_flag=True, help=_("Also ask the configured name servers a question."))
@click.option(
    "--calibrate",
    is_flag=True,
    help=_("First measure what this machine reaches against its own test server (15 s), and keep it."),
)
@json_option
def command(online: bool, calibrate: bool, as_json: bool) -> int:
    if calibrate:
        from ots.commands.calibrate import calibrated

        calibrated(lambda line: click.echo(line, err=True))
    findings = list(checkup(online=online))
    counts = Counter(finding.state for finding in findings)
    if as_json:
        print_json(
            {
                "findings": [asdict(finding) for finding in findings],
                "counts": {state: counts[state] for state in ("ok", "warn", "fail")},
            }
        )
    else:
        for line in lines(findings):
            click.echo(line)
        summary = _("{ok} ok   {warn} to know   {fail} to repair")
        click.echo("\n" + summary.format(ok=counts["ok"], warn=counts["warn"], fail=counts["fail"]))
    return exit_codes.FAIL if counts["fail"] else exit_codes.PASS


def lines(findings: list[Finding]) -> list[str]:
    """One line for each finding, its remedy below it."""
    width = max((cells(finding.subject) for finding in findings), default=0)
    shown = []
    for finding in findings:
        mark, tone = _MARKS[finding.state]
        text = finding.text.replace("\n", "\n" + " " * (width + 4))
        shown.append(f"{click.style(mark, fg=tone)} {padded(finding.subject, width)}  {text}")
        if finding.remedy is not None:
            shown.append(" " * (width + 4) + "→ " + finding.remedy)
    return shown
