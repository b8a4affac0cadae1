"""`ots fleet preview`: which agents would refuse a run, and why, before it is started."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.columns import in_columns
from ots.commands.fleet_access import Access, access_options, choice, on_option, server_faults
from ots.commands.output import json_option, print_json
from ots.commands.run_options import Pair, Quantity
from ots.i18n import N_, _
from ots.reports.plain import plain

if TYPE_CHECKING:
    from ots.remote.manager import Manager

_ANSWERS = {
    "would_run": N_("would run"),
    "would_refuse": N_("would refuse"),
    "not_asked": N_("not asked"),
}
_NOT_ASKED = {
    "not-connected": N_("it is not on the line"),
    "older": N_("its version knows no preview"),
    "no-answer": N_("it gave no answer in time"),
    "busy": N_("too many of its commands are not settled yet"),
}
_EXAMPLES = """\b
Examples:
  ots fleet preview ping --on tag=north --var target=192.0.2.1
  ots fleet preview ping --on all --var target=192.0.2.1 --json
"""


@click.command(
    "preview",
    help=_("Ask agents whether they would refuse a case, and why; nothing is run. Exit code 1 if one would.")
    + "\n\n"
    + _EXAMPLES,
)
@click.argument("case", metavar="CASE")
@on_option()
@click.option("--var", "variables", type=Pair(), multiple=True, help=_("Set a variable of the case."))
@click.option(
    "--within",
    type=Quantity("duration"),
    default=20.0,
    help=_("Wait at most so long for their answers, 2 s to 25 s ('20 s')."),
)
@json_option
@access_options
def preview_command(
    case: str,
    on: tuple[tuple[str, str], ...],
    variables: tuple[tuple[str, str], ...],
    within: float,
    as_json: bool,
    **access: Any,
) -> int:
    wish = {"on": choice(on), "run": {"case": case, "parameters": dict(variables)}, "within": within}
    with server_faults():
        found = asyncio.run(_ask(Access(**access).manager(), wish))
    if as_json:
        print_json(found)
    else:
        for line in in_columns(list(_rows(found)), shutil.get_terminal_size((100, 24)).columns, widest=40):
            click.echo(line)
    return exit_code(found)


def exit_code(found: dict[str, Any]) -> int:
    """1 where somebody would refuse the run or a step of it, 5 where nobody could be asked."""
    if any(each["reasons"] for each in found["items"]) or found["counts"].get("would_refuse"):
        return exit_codes.FAIL
    return exit_codes.PASS if found["counts"].get("would_run") else exit_codes.NOTHING_MEASURED


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """A row for each reason; only an agent's first names it."""
    for each in found["items"]:
        why = each["not_asked"]
        said = [] if why is None else [_(_NOT_ASKED[why]) if why in _NOT_ASKED else why]
        said += [": ".join(filter(None, (one["step"], one["text"]))) for one in each["reasons"]]
        yield plain(each["name"]), _(_ANSWERS[each["answer"]]), plain(said[0]) if said else ""
        for more in said[1:]:
            yield "", "", plain(more)


async def _ask(manager: Manager, wish: dict[str, Any]) -> dict[str, Any]:
    async with manager:
        return await manager.call("POST", "/group-run-previews", body=wish)
