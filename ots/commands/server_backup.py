"""`ots server backup` and `ots server restore`: one archive of a whole server, and a server made from it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import on_database, server_folder, server_options
from ots.i18n import _

_BACKUP = """\b
Examples:
  ots server backup /srv/backups
  ots server backup server.tar --data /var/lib/ots-server
"""

_RESTORE = """\b
Examples:
  ots server restore server.tar --data /var/lib/ots-server
  OTS_SERVER_DATABASE=postgresql://ots@db.example/new ots server restore server.tar --data new
"""


@click.command(
    "backup",
    help=_(
        "Write a server's database, files and keys into one archive, while it runs. FILE is new, or a folder."
    )
    + "\n\n"
    + _BACKUP,
)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@server_options
@json_option
def backup_command(target: Path, data: Path | None, database: str | None, as_json: bool) -> int:
    from ots.server.backup.archive import BackupError
    from ots.server.backup.making import back_up

    try:
        made = on_database(
            data, database, lambda opened: back_up(opened, server_folder(data), target), as_it_is=True
        )
    except BackupError as error:
        raise CommandError(str(error), remedy=error.remedy) from None
    except OSError as error:
        raise _not_written(error) from None
    if as_json:
        print_json(
            {
                "file": str(made.place),
                "size": made.size,
                "sha256": made.sha256,
                "reports": made.manifest.reports,
                "made": made.manifest.made,
            }
        )
        return exit_codes.PASS
    click.echo(
        _("{file}: {reports} reports, {size} bytes, SHA-256 {sha256}").format(
            file=made.place, reports=made.manifest.reports, size=made.size, sha256=made.sha256
        )
    )
    click.echo(_("It holds the server's private keys: keep it where nobody else can read it."), err=True)
    return exit_codes.PASS


@click.command(
    "restore",
    help=_("Make a server from a backup, in an empty folder and an empty database; all of it or nothing.")
    + "\n\n"
    + _RESTORE,
)
@click.argument("archive", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@server_options
@json_option
def restore_command(archive: Path, data: Path | None, database: str | None, as_json: bool) -> int:
    from ots.server.backup.archive import BackupError
    from ots.server.backup.restoring import restore
    from ots.server.database.database import DatabaseAway, DatabaseFull
    from ots.server.database.migrate import NewerDatabase

    folder = server_folder(data)
    try:
        manifest = asyncio.run(restore(archive, folder, database))
    except BackupError as error:
        raise CommandError(str(error), remedy=error.remedy) from None
    except (DatabaseAway, DatabaseFull, NewerDatabase) as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
    except OSError as error:
        raise _not_written(error) from None
    if as_json:
        print_json({"data": str(folder), "reports": manifest.reports, "made": manifest.made})
    else:
        click.echo(
            _("{folder} has the server as of {made}: {reports} reports. Start it: ots server run").format(
                folder=folder, made=manifest.made, reports=manifest.reports
            )
        )
    return exit_codes.PASS


def _not_written(error: OSError) -> CommandError:
    where = f"{error.filename}: " if error.filename else ""
    return CommandError(f"{where}{error.strerror or error}", exit_code=exit_codes.INTERNAL)
