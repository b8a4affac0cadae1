"""`ots server keys`: the keys with which a server signs, and new ones in their place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import on_database, server_folder, server_options
from ots.i18n import _

if TYPE_CHECKING:
    from ots.server.database.database import Database

_EXAMPLES = """\b
Examples:
  ots server keys list
  ots server keys rotate receipt
  ots server keys rotate licence
"""


@click.group("keys", help=_("The keys that sign receipts and licences.") + "\n\n" + _EXAMPLES)
def keys_group() -> None:
    pass


@keys_group.command("list", help=_("List the public keys; the first of each is in use.") + "\n\n" + _EXAMPLES)
@server_options
@json_option
def list_command(data: Path | None, database: str | None, as_json: bool) -> int:
    from ots.server.services import Keys
    from ots.signing.keys import UnusableKey

    folder = server_folder(data)
    if not (folder / "receipt.key").exists():
        raise CommandError(_("there is no server in {folder}").format(folder=folder))
    try:
        public = Keys.of(folder).public()
    except UnusableKey as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL, remedy=error.remedy) from None
    found = {"receipt": public.receipt, "licence": public.licence}
    if as_json:
        print_json(found)
        return exit_codes.PASS
    for purpose, keys in found.items():
        for number, key in enumerate(keys):
            click.echo(f"  {purpose}  {key}  " + (_("accepted") if number else _("in use")))
    return exit_codes.PASS


@keys_group.command(
    "rotate",
    help=_(
        "Make a new key and have the old one sign that it follows. Start the server again afterwards; agents "
        "learn the new key by themselves, and what the old one signed still holds."
    )
    + "\n\n"
    + _EXAMPLES,
)
@click.argument("purpose", type=click.Choice(["receipt", "licence"]))
@server_options
@json_option
def rotate_command(
    purpose: Literal["receipt", "licence"], data: Path | None, database: str | None, as_json: bool
) -> int:
    from ots.server.rotation import rotate_key
    from ots.signing.keys import UnusableKey

    folder = server_folder(data)

    async def work(opened: Database) -> Any:
        return await rotate_key(opened, folder, purpose, time.time())

    try:
        key = on_database(data, database, work)
    except UnusableKey as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL, remedy=error.remedy) from None
    except OSError as error:
        raise CommandError(
            f"{error.filename or folder}: {error.strerror}", exit_code=exit_codes.INTERNAL
        ) from None
    if as_json:
        print_json({"purpose": purpose, "key": key})
    else:
        click.echo(_("new key {key}; start the server again to use it").format(key=key))
    return exit_codes.PASS
