"""Which server a command on the server's own machine means: its data folder and its database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError
from ots.i18n import _

if TYPE_CHECKING:
    from ots.server.database.database import Database

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")
DATABASE_VARIABLE = "OTS_SERVER_DATABASE"


def server_options(command: Command) -> Command:
    """Adds `--data` and `--database`, which the command gets as `data` and `database`."""
    database = click.option(
        "--database",
        envvar=DATABASE_VARIABLE,
        metavar="URL",
        help=_("postgresql://… (better in the variable OTS_SERVER_DATABASE; SQLite in the folder)."),
    )
    folder = click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help=_("The server's folder ($OTS_SERVER_DATA, /var/lib/ots-server, or in your data folder)."),
    )
    return folder(database(command))


def server_folder(data: Path | None) -> Path:
    """The folder that was named, or the usual one of a service, or of a user."""
    named = os.environ.get("OTS_SERVER_DATA")
    system = Path("/var/lib/ots-server")
    if data is not None or named:
        return (data or Path(named or "")).expanduser().absolute()
    if system.is_dir() and os.access(system, os.W_OK | os.X_OK):
        return system
    from ots.config.place import user_data_dir

    return user_data_dir() / "server"


def on_database(
    data: Path | None,
    database: str | None,
    work: Callable[[Database], Awaitable[Result]],
    *,
    as_it_is: bool = False,
) -> Result:
    """Does something with the database of a server that may be running. CommandError if it can't.

    The database is brought up to date first, unless it is to be taken `as_it_is`.
    """
    from ots.server.database.database import DatabaseAway, DatabaseFull, open_database
    from ots.server.database.migrate import NewerDatabase, bring_up_to_date
    from ots.server.first_start import FILE, UnfinishedRestore, check_whole, default_database

    folder = server_folder(data)
    if database is None and not (folder / FILE).exists():
        raise CommandError(
            _("there is no server in {folder}").format(folder=folder),
            remedy=_("start it first: ots server run --data {folder}").format(folder=folder),
        )

    try:
        check_whole(folder)
    except UnfinishedRestore as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None

    async def with_database() -> Result:
        opened = open_database(database or default_database(folder))
        try:
            if not as_it_is:
                await bring_up_to_date(opened)
            return await work(opened)
        finally:
            await opened.close()

    try:
        return asyncio.run(with_database())
    except (DatabaseAway, DatabaseFull, NewerDatabase) as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
