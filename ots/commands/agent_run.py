"""`ots agent run`: the resident agent, and a dry run that says what it would do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Quantity
from ots.commands.store_errors import store_errors
from ots.i18n import _

if TYPE_CHECKING:
    from ots.schedule.placing import Placement

_MOST_SHOWN = 200


@click.command(
    "run",
    help=_("Be this machine's agent: run what is planned, and what the server asks for, until stopped."),
)
@click.option("--plan", "plan_only", is_flag=True, help=_("Only say which runs come next, and why."))
@click.option(
    "--for", "ahead", type=Quantity("duration"), metavar="TIME", help=_("With --plan: how far (1 d).")
)
@json_option
def run_command(plan_only: bool, ahead: float | None, as_json: bool) -> int:
    from ots.config import settings

    if plan_only:
        return _foretell(86_400.0 if ahead is None else ahead, as_json)
    if ahead is not None:
        raise CommandError(_("--for goes with --plan"))
    from ots.agent.agent import Agent
    from ots.agent.ledger import LedgerError
    from ots.agent.presence import AlreadyRunning

    async def live() -> None:
        await Agent(settings()).run()

    try:
        with store_errors():
            asyncio.run(live())
    except AlreadyRunning as error:
        raise CommandError(
            str(error), remedy=_("ots agent status"), exit_code=exit_codes.NOT_WRITTEN
        ) from None
    except LedgerError as error:
        raise CommandError(str(error), remedy=error.remedy, exit_code=exit_codes.NOT_WRITTEN) from None
    except OSError as error:
        raise CommandError(
            _("the agent can't begin: {reason}").format(reason=error), exit_code=exit_codes.NOT_WRITTEN
        ) from None
    return exit_codes.PASS


def _foretell(seconds: float, as_json: bool) -> int:
    from ots.agent.foresight import look_ahead
    from ots.config import settings

    found = look_ahead(settings(), seconds)
    if as_json:
        print_json(
            {"link": found.link, "placements": [placement_document(each) for each in found.placements]}
        )
        return exit_codes.PASS
    if not found.plans:
        click.echo(_("nothing is planned: ots agent schedule add CASE"), err=True)
    for each in found.placements[:_MOST_SHOWN]:
        click.echo(placement_line(each))
    more = len(found.placements) - _MOST_SHOWN
    if more > 0:
        click.echo(_("and {n} more: --json shows all").format(n=more), err=True)
    return exit_codes.PASS


def placement_document(placement: Placement) -> dict[str, Any]:
    """One planned moment as JSON; times are RFC 3339 UTC."""
    from ots.clock import rfc3339

    starts = placement.starts_at
    return {
        "schedule": placement.schedule_id,
        "planned_at": rfc3339(placement.planned_at),
        "starts_at": None if starts is None else rfc3339(starts),
        "decision": placement.decision,
        "code": placement.code,
        "reason": placement.reason,
        "count": placement.count,
    }


def placement_line(placement: Placement) -> str:
    """One planned moment for a person, in this machine's time zone."""
    moved = placement.starts_at is not None and placement.starts_at - placement.planned_at >= 1
    start = f" → {_local(placement.starts_at or 0.0)[11:]}" if moved else ""
    words = {
        "run": _("runs"),
        "late": _("runs late"),
        "missed": _("is missed"),
        "skipped": _("is skipped"),
        "refused": _("is refused"),
    }
    planned = f"{_local(placement.planned_at)}{start}"
    return f"{planned:<30} {placement.schedule_id:<20} {words[placement.decision]}: {placement.reason}"


def _local(moment: float) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M:%S}"
