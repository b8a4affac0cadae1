"""`ots agent hold|release`: stop everything that this machine measures by itself, and let it go on."""

from __future__ import annotations

import time
from typing import NoReturn

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Line
from ots.i18n import _


@click.command(
    "hold",
    help=_(
        "Stop all schedules and all runs of the server on this machine, within two seconds and also after a "
        "restart. No server can lift it. What you run yourself goes on."
    ),
)
@click.option("--reason", type=Line(500), help=_("Why; reports and the server show it."))
@json_option
def hold_command(reason: str | None, as_json: bool) -> int:
    from ots.config import data_dir
    from ots.session import hold

    folder = data_dir()
    try:
        placed = hold.place(folder, "local", reason, time.time())
    except OSError as error:
        _no_right(error)
    if as_json:
        print_json({"held": True, "by": placed.by, "reason": placed.reason, "since": placed.since})
    else:
        click.echo(_("held: nothing is measured here but what you run yourself"))
        click.echo(_("go on with: ots agent release"))
    return exit_codes.PASS


@click.command("release", help=_("Let schedules and the server's runs go on, whoever stopped them."))
@json_option
def release_command(as_json: bool) -> int:
    from ots.config import data_dir
    from ots.session import hold

    folder = data_dir()
    before = hold.held(folder)
    try:
        hold.lift(folder, "local")
    except OSError as error:
        _no_right(error)
    if as_json:
        print_json({"held": False, "was": None if before is None else before.by})
    else:
        click.echo(_("released") if before is not None else _("nothing was held"))
    return exit_codes.PASS


def _no_right(error: OSError) -> NoReturn:
    raise CommandError(
        _("the hold can't be written: {reason}").format(reason=error.strerror or error),
        exit_code=exit_codes.NOT_WRITTEN,
        remedy=_("do it as root, or as the user that the agent runs as"),
    ) from None
