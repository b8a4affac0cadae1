"""`ots fleet`: a server's agents from a manager's shell."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.columns import in_columns
from ots.commands.fleet_access import Access, access_options, chosen_agents, on_option, server_faults
from ots.commands.fleet_missing import missing_command
from ots.commands.fleet_orders import diagnose_command, hold_command, release_command
from ots.commands.fleet_preview import preview_command
from ots.commands.fleet_run import run_command, stop_command, watch_command
from ots.commands.output import json_option, print_json
from ots.i18n import _
from ots.reports.plain import plain

if TYPE_CHECKING:
    from ots.remote.manager import Manager

_EXAMPLES = """\b
Examples:
  export OTS_SERVER=https://ots.example OTS_TOKEN=…
  ots fleet list --on tag=north
  ots fleet preview ping --on tag=north --var target=192.0.2.1
  ots fleet run ping --on tag=north --var target=192.0.2.1 --wait --format junit
  ots fleet stop --on agent=van-3
"""


@click.group(
    "fleet", help=_("A server's agents: run cases on many at once, follow, stop, hold.") + "\n\n" + _EXAMPLES
)
def command() -> None:
    pass


@command.command("list", help=_("Which agents there are, and which are on the line."))
@on_option(required=False)
@json_option
@access_options
def list_command(on: tuple[tuple[str, str], ...], as_json: bool, **access: Any) -> int:
    with server_faults():
        agents = asyncio.run(_list(Access(**access).manager(), on))
    if as_json:
        print_json({"agents": agents})
        return exit_codes.PASS
    rows = [
        (
            plain(agent["name"]),
            _("on the line")
            if agent["online"]
            else _("away")
            if agent["status"] == "active"
            else agent["status"],
            "/".join(filter(None, (agent["department"], agent["project"]))),
            " ".join(agent["tags"]),
            agent["agent_id"],
        )
        for agent in agents
    ]
    for line in in_columns(rows, shutil.get_terminal_size((100, 24)).columns, widest=30):
        click.echo(line)
    return exit_codes.PASS


def _status(agent: dict[str, Any]) -> str:
    if agent["status"] != "active":
        return str(agent["status"])
    return _("on the line") if agent["online"] else _("away")


async def _list(manager: Manager, on: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    async with manager:
        return await chosen_agents(manager, on)


for each in (
    preview_command,
    run_command,
    watch_command,
    stop_command,
    hold_command,
    release_command,
    diagnose_command,
    missing_command,
):
    command.add_command(each)
