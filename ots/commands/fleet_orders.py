"""`ots fleet hold|release|diagnose`: one command for each of some agents, and what became of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.fleet_access import Access, access_options, chosen_agents, on_option, server_faults
from ots.commands.fleet_result import STATE_WORDS
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Line
from ots.i18n import _
from ots.reports.plain import plain

if TYPE_CHECKING:
    from ots.remote.manager import Manager

_FINAL = ("done", "rejected", "expired", "cancelled", "lost")
_TOGETHER = 20


@click.command("hold", help=_("Keep agents from measuring anything by themselves until they are released."))
@on_option()
@click.option("--reason", type=Line(500), help=_("Why; the agents and their reports show it."))
@json_option
@access_options
def hold_command(on: tuple[tuple[str, str], ...], reason: str | None, as_json: bool, **access: Any) -> int:
    return _give("hold", on, reason, as_json=as_json, access=Access(**access))


@click.command("release", help=_("Lift the hold of the server; one that was placed at a machine stays."))
@on_option()
@json_option
@access_options
def release_command(on: tuple[tuple[str, str], ...], as_json: bool, **access: Any) -> int:
    return _give("release", on, None, as_json=as_json, access=Access(**access))


@click.command("diagnose", help=_("Have agents report what they can measure, their link and their log."))
@on_option()
@json_option
@access_options
def diagnose_command(on: tuple[tuple[str, str], ...], as_json: bool, **access: Any) -> int:
    return _give("diagnose", on, None, as_json=as_json, access=Access(**access))


def _give(
    kind: str, on: tuple[tuple[str, str], ...], reason: str | None, *, as_json: bool, access: Access
) -> int:
    with server_faults():
        ended = asyncio.run(_give_all(access.manager(), kind, on, reason or ""))
    if not ended:
        raise CommandError(_("no active agent fits"), exit_code=exit_codes.NOTHING_MEASURED)
    if as_json:
        print_json({"commands": ended})
    else:
        for command in ended:
            said = [_(STATE_WORDS[command["state"]]), command["reason"], command["report_id"]]
            click.echo(plain(f"{command['agent_name']}: {', '.join(filter(None, said))}"))
    return exit_codes.PASS if all(each["state"] == "done" for each in ended) else exit_codes.ERROR


async def _give_all(
    manager: Manager, kind: str, on: tuple[tuple[str, str], ...], reason: str
) -> list[dict[str, Any]]:
    turn = asyncio.Semaphore(_TOGETHER)

    async def give(agent: dict[str, Any]) -> dict[str, Any]:
        async with turn:
            path = f"/agents/{agent['agent_id']}/commands"
            made = await manager.call("POST", path, body={"kind": kind, "reason": reason})
            async for seen in manager.changes(f"/commands/{made['command_id']}"):
                if seen["state"] in _FINAL:
                    return seen
        raise AssertionError("changes end only when nobody listens")

    async with manager:
        agents = [agent for agent in await chosen_agents(manager, on) if agent["status"] == "active"]
        return list(await asyncio.gather(*map(give, agents)))
