"""`ots server content`: the signed content of a server, on its own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import server_folder
from ots.i18n import _

_EXAMPLES = """\b
Examples:
  ots server content key
  ots server content take /media/usb/public
"""

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help=_("The server's folder ($OTS_SERVER_DATA, /var/lib/ots-server, or in your data folder)."),
)


@click.group("content", help=_("The signed content that this server serves.") + "\n\n" + _EXAMPLES)
def content_group() -> None:
    pass


@content_group.command("key", help=_("The server's public key for snapshot and timestamp."))
@_data
@json_option
def key_command(data: Path | None, as_json: bool) -> None:
    kept = _kept(data)
    if as_json:
        print_json({"online_key": kept.online_key})
    else:
        click.echo(kept.online_key)


@content_group.command("take", help=_("Take over a publisher's folder `public`: verified, then served."))
@click.argument("public", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_data
@json_option
def take_command(public: Path, data: Path | None, as_json: bool) -> int:
    from ots.content.offer import NotTaken, held_files, offer_of
    from ots.content.online import Unserveable

    kept = _kept(data)
    try:
        offer = offer_of(public, kept.versions(), held_files(kept.public))
        versions = kept.take(offer) if offer.metadata else kept.versions()
    except (NotTaken, Unserveable) as error:
        raise CommandError(str(error), exit_code=exit_codes.FAIL) from None
    except OSError as error:
        raise CommandError(
            _("the content can't be taken over: {why}").format(why=error.strerror or error),
            exit_code=exit_codes.NOT_WRITTEN,
        ) from None
    if as_json:
        print_json({"versions": versions})
    else:
        click.echo(", ".join(f"{role} v{version}" for role, version in versions.items()))
    return exit_codes.PASS


def _kept(data: Path | None) -> Any:
    from ots.server.content.kept import KeptContent
    from ots.signing.keys import UnusableKey

    try:
        return KeptContent(server_folder(data))
    except UnusableKey as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL, remedy=error.remedy) from None
