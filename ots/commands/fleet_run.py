"""`ots fleet run|watch|stop`: a case on many agents, followed to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.fleet_access import Access, access_options, choice, chosen_agents, on_option, server_faults
from ots.commands.fleet_result import FORMATS, exit_code, line_of, show
from ots.commands.output import CommandError
from ots.commands.run_options import Pair, Quantity
from ots.i18n import _

if TYPE_CHECKING:
    from ots.remote.manager import Manager

_REPORTS = 30.0
"""Seconds that reports may take to come after their runs have ended."""

_format = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="terminal", help=_("How to show the result.")
)
_warn = click.option("--warn-as-fail", is_flag=True, help=_("Exit with 1 for a warning too."))


@click.command("run", help=_("Run a case on agents; with --wait until all have ended, with one verdict."))
@click.argument("case", metavar="CASE")
@on_option()
@click.option("--var", "variables", type=Pair(), multiple=True, help=_("Set a variable of the case."))
@click.option("--tag", "tags", type=Pair(), multiple=True, help=_("Note key=value with the reports."))
@click.option(
    "--canary",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help=_("First one agent, then so many percent, then all; stops where too many refuse or fail to run."),
)
@click.option(
    "--spread",
    type=Quantity("duration"),
    default=0.0,
    help=_("Let them begin within this time."),
)
@click.option(
    "--expires",
    type=Quantity("duration"),
    default=120.0,
    help=_("Who has not begun after this time does not begin any more ('2 min')."),
)
@click.option(
    "--max-duration", type=Quantity("duration"), default=600.0, help=_("Stop each run after this ('10 min').")
)
@click.option("--wait", is_flag=True, help=_("Wait for the end; progress goes to stderr."))
@_format
@_warn
@access_options
def run_command(
    case: str,
    on: tuple[tuple[str, str], ...],
    variables: tuple[tuple[str, str], ...],
    tags: tuple[tuple[str, str], ...],
    canary: float | None,
    spread: float,
    expires: float,
    max_duration: float,
    wait: bool,
    form: str,
    warn_as_fail: bool,
    **access: Any,
) -> int:
    wish = {
        "on": choice(on),
        "run": {
            "case": case,
            "parameters": dict(variables),
            "tags": dict(tags),
            "max_duration": max_duration,
        },
        "canary": None if canary is None else {"share": canary / 100},
        "spread": spread,
        "expires_in": expires,
    }
    with server_faults():
        run = asyncio.run(_start(Access(**access).manager(), wish, wait=wait))
    show(run, form)
    if not run["settled"]:
        if form == "terminal":
            click.echo(_("follow it: ots fleet watch {run_id}").format(run_id=run["run_id"]), err=True)
        return exit_codes.PASS
    return exit_code(run, warn_as_fail=warn_as_fail)


@click.command("watch", help=_("Follow a run on agents to its end; exits as `ots fleet run --wait` does."))
@click.argument("run_id", metavar="RUN")
@_format
@_warn
@access_options
def watch_command(run_id: str, form: str, warn_as_fail: bool, **access: Any) -> int:
    with server_faults():
        run = asyncio.run(_watch(Access(**access).manager(), run_id))
    show(run, form)
    return exit_code(run, warn_as_fail=warn_as_fail)


@click.command("stop", help=_("Stop a run on agents, or whatever the server has running on some of them."))
@click.argument("run_id", metavar="[RUN]", required=False)
@on_option(required=False)
@_format
@access_options
def stop_command(run_id: str | None, on: tuple[tuple[str, str], ...], form: str, **access: Any) -> int:
    if (run_id is None) == (not on):
        raise CommandError(_("name a run, or agents by --on"))
    with server_faults():
        manager = Access(**access).manager()
        if run_id is not None:
            show(asyncio.run(_stop(manager, run_id)), form)
        else:
            stopped = asyncio.run(_stop_all(manager, on))
            click.echo(_("{n} agents are told to stop").format(n=stopped))
    return exit_codes.PASS


async def _start(manager: Manager, wish: dict[str, Any], *, wait: bool) -> dict[str, Any]:
    async with manager:
        run = await manager.call("POST", "/group-runs", body=wish)
        return await _follow(manager, run["run_id"]) if wait else run


async def _watch(manager: Manager, run_id: str) -> dict[str, Any]:
    async with manager:
        return await _follow(manager, run_id)


async def _stop(manager: Manager, run_id: str) -> dict[str, Any]:
    async with manager:
        return await manager.call("DELETE", f"/group-runs/{run_id}")


async def _stop_all(manager: Manager, on: tuple[tuple[str, str], ...]) -> int:
    async with manager:
        agents = [agent for agent in await chosen_agents(manager, on) if agent["status"] == "active"]
        for agent in agents:
            await manager.call("POST", f"/agents/{agent['agent_id']}/commands", body={"kind": "stop"})
        return len(agents)


async def _follow(manager: Manager, run_id: str) -> dict[str, Any]:
    """Follows a run to its end, and its reports to the server; says on stderr what changes."""
    click.echo(_("run {run_id}").format(run_id=run_id), err=True)
    told: dict[str, str] = {}
    run: dict[str, Any] = {}
    patience = asyncio.timeout(None)
    try:
        async with patience:
            async for run in manager.changes(f"/group-runs/{run_id}"):
                for member in run["members"]:
                    line = line_of(member)
                    if told.get(member["agent_id"]) != line:
                        told[member["agent_id"]] = line
                        click.echo(line, err=True)
                if run["settled"]:
                    if not any(member["report_id"] and member["report"] is None for member in run["members"]):
                        break
                    if patience.when() is None:
                        patience.reschedule(asyncio.get_running_loop().time() + _REPORTS)
    except TimeoutError:
        click.echo(_("not every report has reached the server yet"), err=True)
    except asyncio.CancelledError:
        click.echo(
            _("the run goes on; ots fleet watch {run_id} follows it, ots fleet stop {run_id} ends it").format(
                run_id=run_id
            ),
            err=True,
        )
        raise
    return run
