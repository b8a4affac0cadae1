"""`ots fleet missing`: what should have arrived from assignments, and what did not."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.columns import in_columns
from ots.commands.fleet_access import Access, access_options, server_faults
from ots.commands.output import json_option, print_json
from ots.i18n import N_, _
from ots.reports.plain import plain

if TYPE_CHECKING:
    from ots.remote.manager import Manager

_STATES = {
    "missing": N_("missing"),
    "missed": N_("missed"),
    "skipped": N_("skipped"),
    "refused": N_("refused"),
    "interrupted": N_("interrupted"),
}
_EXAMPLES = """\b
Examples:
  ots fleet missing
  ots fleet missing --since 7d --json
"""


@click.command(
    "missing",
    help=_("Planned runs of the assignments that have no result, and why; exit code 1 if there are any.")
    + "\n\n"
    + _EXAMPLES,
)
@click.option(
    "--since",
    metavar="TIME",
    default="24 h",
    show_default=True,
    help=_("All since a date (2026-03-01), a time, or an age such as 7d; at most 31 days."),
)
@json_option
@access_options
def missing_command(since: str, as_json: bool, **access: Any) -> int:
    from ots.commands.report_shelf import moment

    first = moment(since)
    with server_faults():
        found = asyncio.run(_ask(Access(**access).manager(), first))
    if as_json:
        print_json(found)
    else:
        _show(found)
    return exit_codes.FAIL if found["items"] else exit_codes.PASS


async def _ask(manager: Manager, since: str | None) -> dict[str, Any]:
    async with manager:
        return await manager.call("GET", "/missing-runs", query={"since": since})


def _show(found: dict[str, Any]) -> None:
    rows = [
        (
            f"{one['planned'][:19].replace('T', ' ')}Z",
            _(_STATES[one["state"]]),
            plain(one["agent"]),
            plain(one["assignment"]),
            plain(one["reason"] or ""),
        )
        for one in found["items"]
    ]
    for line in in_columns(rows, shutil.get_terminal_size((100, 24)).columns, widest=60):
        click.echo(line)
    if found["cut"]:
        click.echo(_("there are more: ask for less time"), err=True)
    arrived = sum(found["counts"].get(state, 0) for state in ("completed", "aborted", "late"))
    words = {
        "expected": found["expected"],
        "arrived": arrived,
        "late": found["counts"].get("late", 0),
        "awaited": found["counts"].get("awaited", 0),
    }
    click.echo(
        _("{expected} expected, {arrived} arrived, {late} of them late, {awaited} awaited").format(**words),
        err=True,
    )
