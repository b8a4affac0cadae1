"""`ots server user`: accounts of people, on the server's own machine; also the way back in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.columns import in_columns
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import on_database, server_options
from ots.i18n import _

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ots.server.database.database import Database

ROLES = ("viewer", "engineer", "manager", "licence_manager", "auditor", "admin")

_EXAMPLES = """\b
Examples:
  ots server user list
  ots server user add li.wei --role engineer --department 571
  ots server user password admin
  ots server user disable li.wei
"""


@click.group(
    "user",
    help=_(
        "Accounts of people. For whoever may write to the server's folder or database: no log-in is asked "
        "for, and the audit trail notes what was done."
    )
    + "\n\n"
    + _EXAMPLES,
)
def user_group() -> None:
    pass


@user_group.command("list", help=_("List the accounts and their roles.") + "\n\n" + _EXAMPLES)
@server_options
@json_option
def list_command(data: Path | None, database: str | None, as_json: bool) -> int:
    from ots.server.identity.people_by_hand import every_account

    found = _done(data, database, every_account)
    if as_json:
        print_json({"accounts": found})
        return exit_codes.PASS
    rows = [
        (entry["name"], _("disabled") if entry["disabled"] else "", ", ".join(entry["roles"]))
        for entry in found
    ]
    for line in in_columns(rows, shutil.get_terminal_size((100, 24)).columns, widest=40):
        click.echo(line)
    return exit_codes.PASS


@user_group.command(
    "add", help=_("Make an account; its one-time password is shown once.") + "\n\n" + _EXAMPLES
)
@click.argument("name")
@server_options
@click.option("--role", required=True, type=click.Choice(ROLES), help=_("What it may do."))
@click.option("--department", metavar="NUMBER", help=_("Only in this department."))
@click.option("--project", metavar="NUMBER", help=_("Only in this project of it."))
@json_option
def add_command(
    name: str,
    data: Path | None,
    database: str | None,
    role: str,
    department: str | None,
    project: str | None,
    as_json: bool,
) -> int:
    if project is not None and department is None:
        raise CommandError(_("--project needs --department"))
    from ots.server.identity.people_by_hand import add_account

    password = _done(
        data, database, lambda opened: add_account(opened, name, role, department=department, project=project)
    )
    return _tell(name, password, as_json=as_json)


@user_group.command(
    "password",
    help=_("Give an account a new one-time password, shown once; its log-ins end.") + "\n\n" + _EXAMPLES,
)
@click.argument("name")
@server_options
@json_option
def password_command(name: str, data: Path | None, database: str | None, as_json: bool) -> int:
    from ots.server.identity.people_by_hand import reset_password

    password = _done(data, database, lambda opened: reset_password(opened, name))
    return _tell(name, password, as_json=as_json)


@user_group.command(
    "disable", help=_("Shut an account: its log-ins and API tokens end.") + "\n\n" + _EXAMPLES
)
@click.argument("name")
@server_options
@json_option
def disable_command(name: str, data: Path | None, database: str | None, as_json: bool) -> int:
    return _switch(name, data, database, disabled=True, as_json=as_json)


@user_group.command("enable", help=_("Open an account that was shut.") + "\n\n" + _EXAMPLES)
@click.argument("name")
@server_options
@json_option
def enable_command(name: str, data: Path | None, database: str | None, as_json: bool) -> int:
    return _switch(name, data, database, disabled=False, as_json=as_json)


def _switch(name: str, data: Path | None, database: str | None, *, disabled: bool, as_json: bool) -> int:
    from ots.server.identity.people_by_hand import switch

    _done(data, database, lambda opened: switch(opened, name, disabled=disabled))
    if as_json:
        print_json({"name": name, "disabled": disabled})
    else:
        said = _("{name} is disabled") if disabled else _("{name} is open")
        click.echo(said.format(name=name))
    return exit_codes.PASS


def _done(data: Path | None, database: str | None, work: Callable[[Database], Awaitable[Any]]) -> Any:
    """CommandError with the words of whatever refuses."""
    from ots.server.api.problems import Refused

    try:
        return on_database(data, database, work)
    except Refused as refused:
        raise CommandError(refused.detail or refused.code) from None


def _tell(name: str, password: str, *, as_json: bool) -> int:
    if as_json:
        print_json({"name": name, "password": password})
    else:
        click.echo(
            _("{name}: one-time password {password} (shown only now)").format(name=name, password=password)
        )
    return exit_codes.PASS
