"""`ots servers`: which speed test servers there are, one's own among them, and which one is used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.case_errors import case_errors
from ots.commands.columns import cells, padded
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import _

if TYPE_CHECKING:
    from ots.netio.speed.server_list import ServerList
    from ots.session.speed_servers import Known

LIBRESPEED_LIST = "https://librespeed.org/backend-servers/servers.php"
"""LibreSpeed's public list, which update takes unless another source was given once."""

_EXAMPLES = """\b
Examples:
  ots servers list
  ots servers add office http://192.0.2.1:8080/ --operator 'IT department'
  ots servers use office
  ots servers update servers.yaml
"""


@click.group(
    "servers", help=_("Speed test servers: list, add, choose, fetch a newer list.") + "\n\n" + _EXAMPLES
)
def command() -> None:
    pass


@command.command("list", help=_("The servers, who runs them, and which list has them."))
@json_option
def list_command(as_json: bool) -> None:
    from ots.session.speed_servers import Servers

    with _faults():
        servers = Servers()
        known, used = servers.known, servers.use
    if as_json:
        print_json({"use": used, "servers": [_document(each) for each in known]})
        return
    click.echo(_("used by ots speedtest: {name}").format(name=used))
    width = max((cells(each.server.name) for each in known), default=0)
    for each in known:
        server = each.server
        mark = "*" if server.name == used else " "
        who = ", ".join(text for text in (server.operator, server.place) if text)
        line = f"{mark} {padded(server.name, width)}  {padded(server.protocol, 10)}  {server.url}"
        click.echo(f"{line}  {who}  {click.style(_origin(each.origin), dim=True)}".rstrip())


@command.command("add", help=_("Add a server of your own, or replace the one of that name."))
@click.argument("name")
@click.argument("url")
@click.option(
    "--protocol",
    type=click.Choice(("auto", "ots", "librespeed", "ndt7", "mini", "speedtest_cli")),
    default="auto",
    show_default=True,
    help=_("What the server speaks; auto asks it."),
)
@click.option("--operator", help=_("Who runs it, and therefore sees who measures."))
@click.option("--place", help=_("Where it stands."))
@json_option
def add_command(name: str, url: str, as_json: bool, **more: Any) -> None:
    from pydantic import ValidationError

    from ots.netio.speed.server import AUTO, Server
    from ots.session import speed_servers

    if name == AUTO:
        raise CommandError(_("{name!r} can't be the name of a server").format(name=name))
    try:
        server = Server(name=name, url=url, **more)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise CommandError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    with _faults():
        speed_servers.add(server)
    path = speed_servers.own_file()
    if as_json:
        print_json({"path": str(path), "server": server.model_dump()})
    else:
        click.echo(f"{server.name}   {server.url}   {path}")


@command.command("remove", help=_("Take a server of your own out of the list."))
@click.argument("name")
@json_option
def remove_command(name: str, as_json: bool) -> None:
    from ots.session import speed_servers

    with _faults():
        gone = speed_servers.remove(name)
    if not gone:
        raise CommandError(
            _("you have no server {name!r} of your own").format(name=name),
            remedy=_("ots servers list shows what there is"),
        )
    if as_json:
        print_json({"path": str(speed_servers.own_file()), "removed": name})
    else:
        click.echo(_("{name} is gone").format(name=name))


@command.command("use", help=_("What ots speedtest measures against unless told: a name, or auto."))
@click.argument("name")
@json_option
def use_command(name: str, as_json: bool) -> None:
    from ots.netio.speed.server import AUTO
    from ots.session import speed_servers

    with _faults(), case_errors():
        if name != AUTO:
            speed_servers.Servers().named(name)
        speed_servers.use(name)
    if as_json:
        print_json({"path": str(speed_servers.own_file()), "use": name})
    else:
        click.echo(_("used by ots speedtest: {name}").format(name=name))


@command.command(
    "update",
    help=_("Fetch the signed list, or one from a URL or a file; the last good one stays if that fails."),
)
@click.argument("source", required=False, metavar="[URL|FILE]")
@json_option
def update_command(source: str | None, as_json: bool) -> None:
    from ots.config import settings
    from ots.content.held import read_source
    from ots.session import speed_servers

    if source is None and read_source(settings().data_dir) is not None:
        _update_signed(as_json=as_json)
        return
    with _faults():
        source = source or speed_servers.Servers().lists["fetched"].source or LIBRESPEED_LIST
        fetched = speed_servers.keep(_content(source), source)
    path = speed_servers.fetched_file()
    if as_json:
        count = len(fetched.servers)
        print_json({"path": str(path), "source": source, "servers": count, "skipped": fetched.skipped})
    else:
        click.echo(_updated(fetched, source))


def _update_signed(*, as_json: bool) -> None:
    """The list that comes with the signed content; it is used once one of its servers has answered."""
    from ots.commands.case_sync import synchronised
    from ots.config import settings
    from ots.content.held import servers_file
    from ots.session.speed_servers import Servers

    synced = synchronised()
    with _faults():
        found = Servers().lists["synced"]
    if as_json:
        print_json(
            {
                "path": str(servers_file(settings().data_dir)),
                "source": synced.held.url,
                "servers": len(found.servers),
                "skipped": 0,
                "troubles": synced.troubles,
            }
        )
        return
    click.echo(_updated(found, synced.held.url))
    for trouble in synced.troubles:
        click.echo("  " + _("warning: {text}").format(text=trouble))


def _updated(fetched: ServerList, source: str) -> str:
    said = _("{n} servers from {source}").format(n=len(fetched.servers), source=source)
    if fetched.skipped:
        said += " " + _("({n} others can't be used)").format(n=fetched.skipped)
    return said


def _content(source: str) -> bytes:
    """What a file or a URL holds, up to a little more than a list may have."""
    from ots.netio.speed.fetch import fetch
    from ots.netio.speed.server_list import MAX_BYTES
    from ots.probe import Failed
    from ots.schema.target import TargetError, Targets

    if "://" not in source:
        try:
            with Path(source).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{source}: {error.strerror}") from None
    try:
        ports = (("http", 80), ("https", 443))
        target = Targets(forms=("url",), schemes=("http", "https"), default_ports=ports).parse(source)
        return asyncio.run(fetch(target))
    except TargetError as error:
        raise CommandError(str(error)) from None
    except Failed as failure:
        raise CommandError(
            _("{source} can't be fetched: {why}").format(source=source, why=failure),
            exit_code=exit_codes.FAIL,
            remedy=_("the last good list stays in use"),
        ) from None


def _document(known: Known) -> dict[str, Any]:
    return {**known.server.model_dump(), "origin": known.origin}


def _origin(origin: str) -> str:
    words = {
        "own": _("your own"),
        "system": _("of this machine"),
        "synced": _("signed"),
        "fetched": _("fetched"),
        "shipped": _("shipped"),
    }
    return words[origin]


@contextmanager
def _faults() -> Iterator[None]:
    """What is wrong with a list as the command line says it."""
    from ots.netio.speed.server_list import BadList

    try:
        yield
    except BadList as error:
        raise CommandError(str(error), remedy=_("the last good list stays in use")) from None
    except OSError as error:
        raise CommandError(_("the list can't be written: {why}").format(why=error.strerror)) from None
