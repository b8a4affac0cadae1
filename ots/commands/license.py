"""`ots license`: which licence is in force, what it covers, how one is asked for and installed."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes, license_features, license_view
from ots.commands.output import CommandError, json_option, print_json, write_out
from ots.commands.store_errors import store_errors
from ots.config import settings
from ots.i18n import _
from ots.license.tiers import TIERS
from ots.remote.enrolled import is_member
from ots.session.rights import feature_name, functions, licences, present_rights
from ots.signing.keys import UnusableKey
from ots.strictyaml import suggest

if TYPE_CHECKING:
    from ots.license.installed import Standing
    from ots.store.licences import Licences

_EXAMPLES = """\b
Examples:
  ots license show
  ots license why voice_call
  ots license request --tier professional --output request.jws
  ots license install licence.jws
"""


@click.group("license", help=_("What may be done here, and the licences that say so.") + "\n\n" + _EXAMPLES)
def command() -> None:
    pass


@command.command("show", help=_("The licence in force, or all that are installed."))
@click.option("--all", "everything", is_flag=True, help=_("Also those that are not in force, and why."))
@json_option
def show_command(everything: bool, as_json: bool) -> None:
    rights = present_rights()
    if as_json:
        print_json(license_view.document(rights))
        return
    for warning in () if rights.standings is None else rights.standings.warnings:
        click.echo(_("warning: {text}").format(text=warning), err=True)
    click.echo("\n".join(license_view.lines(rights, everything=everything)))


@command.command("features", help=_("What there is to allow, what is allowed here, and the numbers."))
@json_option
def features_command(as_json: bool) -> None:
    rights = present_rights()
    if as_json:
        print_json(license_features.document(rights))
    else:
        click.echo("\n".join(license_features.lines(rights)))


@command.command("why", help=_("May a function be used, and who says so? Exits with 6 if not."))
@click.argument("feature")
@json_option
def why_command(feature: str, as_json: bool) -> int:
    name = feature_name(feature)
    if name is None:
        raise CommandError(
            _("there is no function {name!r}").format(name=feature) + suggest(feature, functions()),
            remedy=_("ots license features shows them"),
        )
    rights = present_rights()
    if as_json:
        print_json(license_features.why_document(rights, name))
    else:
        click.echo("\n".join(license_features.why_lines(rights, name)))
    return exit_codes.PASS if rights.refusal(name) is None else exit_codes.LICENCE_REFUSED


@command.command("request", help=_("Ask the server for a licence, or write a request as a file."))
@click.option("--tier", type=click.Choice(TIERS[1:]), required=True, help=_("What is asked for."))
@click.option("--note", default="", help=_("What for, in a few words."))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help=_("Into this file, signed with this machine's key, for whoever issues licences."),
)
@json_option
def request_command(tier: str, note: str, output: Path | None, as_json: bool) -> None:
    if len(note) > 500:
        raise CommandError(_("{n} characters are too many: at most {most}").format(n=len(note), most=500))
    if output is None and is_member(settings().data_dir):
        name = _send(tier, note)
        if as_json:
            print_json({"tier": tier, "request": None, "path": None, "server": name})
        else:
            click.echo(_("{name} has the request; a person decides").format(name=name))
        return
    with store_errors():
        text = _licences().request(tier, note, time.time())
    if output is not None:
        from ots.commands.showing import deliver

        deliver(text + "\n", output)
    if as_json:
        path = None if output is None else str(output)
        print_json({"tier": tier, "request": text, "path": path, "server": None})
    elif output is None:
        write_out(f"{text}\n".encode())
    else:
        click.echo(_("{path}: give it to whoever issues licences").format(path=output))


@command.command("install", help=_("Install a licence, or a list of withdrawn ones, from a file."))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--allow-downgrade", is_flag=True, help=_("Take an older licence, if it grants no more than the present.")
)
@json_option
def install_command(file: Path, allow_downgrade: bool, as_json: bool) -> None:
    text = _read(file)
    here = _licences()
    with store_errors():
        revocations = here.install_revocations(text)
        standing = None if revocations is not None else _install(here, text, allow_downgrade)
    if as_json:
        serial = None if revocations is None else revocations.serial
        installed = None if standing is None else license_view.standing_document(standing, chosen=None)
        print_json({"installed": installed, "revocations_serial": serial})
    elif revocations is not None:
        click.echo(_("list {serial} of withdrawn licences holds").format(serial=revocations.serial))
    elif standing is not None:
        click.echo("\n".join(license_view.standing_lines(standing)))


def _send(tier: str, note: str) -> str:
    """Sends the request to this machine's server, and gives the server's name."""
    from ots.remote.client import Refused
    from ots.remote.membership import MembershipError, read_membership
    from ots.remote.wish import send_wish

    folder = settings().data_dir
    by_file = _("or by file: ots license request --tier {tier} --output FILE").format(tier=tier)
    try:
        membership = read_membership(folder)
        assert membership is not None
        asyncio.run(send_wish(folder, membership, tier, note))
    except (MembershipError, UnusableKey) as error:
        raise CommandError(str(error), remedy=error.remedy, exit_code=exit_codes.NOT_WRITTEN) from None
    except Refused as refused:
        code = exit_codes.ERROR if refused.decision == "retry" else exit_codes.FAIL
        raise CommandError(str(refused), remedy=by_file, exit_code=code) from None
    return membership.server_name


def _install(here: Licences, text: str, allow_downgrade: bool) -> Standing:
    from ots.store.licences import NotInstalled

    try:
        return here.install(text, time.time(), allow_downgrade=allow_downgrade)
    except NotInstalled as refused:
        raise CommandError(
            _("this licence is not taken: {reason}").format(reason=license_view.reason(refused.standing)),
            exit_code=exit_codes.LICENCE_REFUSED,
            remedy=license_view.remedy(refused.standing.state),
            details=[{"state": refused.standing.state}],
        ) from None


def _licences() -> Licences:
    return licences(settings())


def _read(file: Path) -> str:
    """The file's text, a character more than is allowed at most: then it is refused unread."""
    from ots.store.licence_files import MOST_CHARACTERS

    try:
        if str(file) == "-":
            data: Any = sys.stdin.buffer.read(MOST_CHARACTERS + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise CommandError(
            _("{path} can't be read: {reason}").format(path=file, reason=error.strerror or error)
        ) from None
    return bytes(data).decode("ascii", "replace")
