"""`ots cases sync` and `ots cases status`: the signed cases of this machine, and the other layers."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.columns import in_columns
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import _, ngettext

if TYPE_CHECKING:
    from ots.content.held import Held
    from ots.remote.content import Synced

_EXAMPLES = """\b
Examples:
  ots cases sync
  ots cases sync --from https://static.example/content/ --root 1.root.json
  ots cases status
"""
_MAX_FILE = 1 << 20


@click.command(
    "sync",
    help=_("Fetch the signed cases, server list and licence keys; what is held stays if that fails.")
    + "\n\n"
    + _EXAMPLES,
)
@click.option("--from", "url", metavar="URL", help=_("Where they are served, from now on; with --root."))
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("The root to trust: 1.root.json, from who publishes."),
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("Trust only the authorities in this file (PEM), not the system's."),
)
@json_option
def sync_command(url: str | None, root: Path | None, ca: Path | None, as_json: bool) -> int:
    if (url is None) != (root is None):
        raise CommandError(_("--from and --root go together"))
    if url is not None and root is not None:
        _pin(url, root, ca)
    synced = synchronised()
    if as_json:
        print_json(_synced_document(synced))
    else:
        for line in _synced_lines(synced):
            click.echo(line)
    return exit_codes.PASS


@click.command(
    "status", help=_("Where each case comes from, its version, and how fresh the synced ones are.")
)
@json_option
def status_command(as_json: bool) -> int:
    from ots.config import settings
    from ots.content.held import read_attempt, read_held, read_source
    from ots.session.case_status import case_layers

    data = settings().data_dir
    source, held, attempt = read_source(data), read_held(data), read_attempt(data)
    rows = case_layers()
    if as_json:
        print_json(
            {
                "source": None if source is None else source.url,
                "content": None if held is None else _held_document(held),
                "last_attempt": None
                if attempt is None
                else {"at": _when(attempt.at), "code": attempt.code, "message": attempt.message},
                "cases": [row.document() for row in rows],
            }
        )
        return exit_codes.PASS
    click.echo(_source_line(None if source is None else source.url, held))
    if attempt is not None and attempt.code is not None:
        click.echo(
            _("last attempt {when} failed: {why}").format(when=_when(attempt.at), why=attempt.message),
        )
    table = [(row.name, row.layer, _version(row.version), _remark(row.remark, row.beneath)) for row in rows]
    for line in in_columns(table, shutil.get_terminal_size((100, 24)).columns, widest=40):
        click.echo(line)
    return exit_codes.PASS


@click.command("forget", help=_("Give up the signed content and the trust in where it comes from."))
@json_option
def forget_command(as_json: bool) -> int:
    from ots.config import settings
    from ots.content.held import forget, read_source

    data = settings().data_dir
    source = read_source(data)
    try:
        forget(data)
    except OSError as error:
        raise CommandError(str(error), exit_code=exit_codes.NOT_WRITTEN) from None
    if as_json:
        print_json({"forgotten": None if source is None else source.url})
    elif source is None:
        click.echo(_("no signed content: nobody has said where it comes from"))
    else:
        click.echo(_("signed content from {url} is forgotten").format(url=source.url))
    return exit_codes.PASS


def synchronised() -> Synced:
    """Synchronises; what goes wrong is a CommandError."""
    from ots.config import settings
    from ots.remote.content import SyncFailed, sync

    try:
        return asyncio.run(sync(settings().data_dir))
    except SyncFailed as failure:
        code = exit_codes.USAGE if failure.code == "no-trust" else exit_codes.FAIL
        if failure.code in ("disk-full", "not-written"):
            code = exit_codes.NOT_WRITTEN
        raise CommandError(f"{failure.code}: {failure}", exit_code=code, remedy=failure.remedy) from None


def _pin(url: str, root: Path, ca: Path | None) -> None:
    from ots.config import settings
    from ots.content.held import Source, pin
    from ots.remote.client import AddressError
    from ots.remote.content import SyncFailed, check_source, read_root

    try:
        source = Source(url=check_source(url), ca=None if ca is None else ca.read_text("ascii"))
        with root.open("rb") as file:
            pin(settings().data_dir, read_root(file.read(_MAX_FILE)), source)
    except (AddressError, SyncFailed) as error:
        raise CommandError(str(error), remedy=error.remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(str(error), exit_code=exit_codes.NOT_WRITTEN) from None


def _synced_lines(synced: Synced) -> list[str]:
    held = synced.held
    lines = [
        ngettext("{n} signed case from {url}", "{n} signed cases from {url}", len(held.cases)).format(
            n=len(held.cases), url=held.url
        )
        + ("" if synced.changed else "   " + _("nothing new"))
    ]
    lines += [f"  + {case.name}   {case.title}".rstrip() for case in synced.added]
    lines += [f"  - {case.name}" for case in synced.gone]
    lines += ["  " + _("warning: {text}").format(text=text) for text in synced.troubles]
    return lines


def _synced_document(synced: Synced) -> dict[str, Any]:
    return {
        **_held_document(synced.held),
        "changed": synced.changed,
        "added": [str(case.name) for case in synced.added],
        "gone": [str(case.name) for case in synced.gone],
        "bytes_received": synced.bytes_received,
        "troubles": synced.troubles,
    }


def _held_document(held: Held) -> dict[str, Any]:
    from ots.content.held import stale_text

    return {
        "url": held.url,
        "checked_at": _when(held.checked_at),
        "changed_at": _when(held.changed_at),
        "fresh_until": _when(held.fresh_until),
        "stale_since": stale_text(held, time.time()),
        "versions": held.versions,
    }


def _source_line(url: str | None, held: Held | None) -> str:
    if url is None:
        return _("no signed content: nobody has said where it comes from")
    if held is None:
        return _("signed content from {url}: not fetched yet").format(url=url)
    since = held.stale_since(time.time())
    if since is None:
        return _("signed content from {url}: fresh until {when}").format(
            url=url, when=_when(held.fresh_until)
        )
    return _("signed content from {url}: stale since {when}").format(url=url, when=_when(since))


def _when(wall: float) -> str:
    from ots.clock import rfc3339

    return rfc3339(wall)[:19] + "Z"


def _version(version: int | None) -> str:
    return "" if version is None else f"v{version}"


def _remark(remark: str | None, beneath: int | None) -> str:
    texts = {
        "base-changed": _("base changed: v{version} is there now").format(version=beneath),
        "no-base": _("in place of v{version}, and names no base").format(version=beneath),
        "replaces": _("in place of v{version}").format(version=beneath),
        "broken": _("broken: ots cases check says why"),
    }
    return "" if remark is None else texts[remark]
