"""`ots server token`: enrolment tokens, on the server's own machine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import on_database, server_options
from ots.i18n import _
from ots.units import UnitError, parse

_EXAMPLES = """\b
Examples:
  ots server token create
  ots server token create --department 571 --project HZ-12 --tier professional --uses 50 --valid 30d
"""


@click.group("token", help=_("Enrolment tokens: whoever has one may enrol an agent."))
def token_group() -> None:
    pass


@token_group.command("create", help=_("Make an enrolment token; it is shown once.") + "\n\n" + _EXAMPLES)
@server_options
@click.option("--department", metavar="NUMBER", help=_("For this department; made if it is new."))
@click.option("--project", metavar="NUMBER", help=_("For this project of it; made if it is new."))
@click.option(
    "--tier",
    type=click.Choice(["default", "friendly", "professional"]),
    default="friendly",
    show_default=True,
    help=_("The licence tier that it grants."),
)
@click.option(
    "--uses", type=click.IntRange(1, 100_000), default=1, show_default=True, help=_("Agents it can enrol.")
)
@click.option("--valid", default="7d", show_default=True, metavar="TIME", help=_("How long it can be used."))
@click.option("--approve", is_flag=True, help=_("Agents wait until a person approves them."))
@click.option("--note", default="", metavar="TEXT", help=_("What it is for."))
@json_option
def create_command(
    data: Path | None,
    database: str | None,
    department: str | None,
    project: str | None,
    tier: str,
    uses: int,
    valid: str,
    approve: bool,
    note: str,
    as_json: bool,
) -> int:
    try:
        seconds = parse(valid, "duration")
    except UnitError as error:
        raise CommandError(f"--valid: {error}") from None
    if project is not None and department is None:
        raise CommandError(_("--project needs --department"))

    from ots.server.identity.tokens import TokenWish, create_token

    wish = TokenWish(
        department=department,
        project=project,
        tier=tier,
        max_uses=uses,
        seconds=seconds,
        approval=approve,
        note=note,
    )
    text = on_database(
        data, database, lambda opened: create_token(opened, wish, actor="command line", now=time.time())
    )
    if as_json:
        print_json({"token": text, "tier": tier, "uses": uses})
    else:
        click.echo(text)
    return exit_codes.PASS
