"""`ots speedtest`: down, up and round trips against a server that is named, or the nearest of the list.

Before anything is sent it says who will see it.
"""

from __future__ import annotations

from typing import Any

import click

from ots.commands.case_errors import case_errors
from ots.commands.kind import OWN, parameters, run_kind
from ots.commands.output import CommandError
from ots.commands.run_options import run_options
from ots.i18n import _
from ots.probes.speedtest import Speedtest

_PROBE = Speedtest()
_NOT_TYPED = frozenset({"targets", OWN + "servers", OWN + "directions"})
_SHOWN_OPERATORS = 6

_EXAMPLES = """\b
Examples:
  ots speedtest
  ots speedtest --server http://192.0.2.1:8080/
  ots speedtest --server office --down --duration '5 s'
  ots speedtest --server wss://192.0.2.1/ --protocol ndt7 --json
"""


def _options() -> list[click.Parameter]:
    own = [parameter for parameter in parameters(_PROBE) if parameter.name not in _NOT_TYPED]
    return [
        click.Argument(["place"], required=False, metavar="[URL|NAME]"),
        click.Option(
            ["--server"], metavar="URL|NAME", help=_("The server, as ots servers list has it, or its URL.")
        ),
        click.Option(["--down"], is_flag=True, help=_("Download only.")),
        click.Option(["--up"], is_flag=True, help=_("Upload only.")),
        *own,
    ]


def _run(**values: Any) -> int:
    place, server, down, up = (values.pop(name) for name in ("place", "server", "down", "up"))
    if place is not None and server is not None:
        raise CommandError(_("name one server: {one} or {other}").format(one=place, other=server))
    target = place or server or "auto"
    with case_errors():
        click.echo(_who_sees(target), err=True)
    values["targets"] = (target,)
    values[OWN + "servers"] = None
    values[OWN + "directions"] = None if down == up else "down" if down else "up"
    return run_kind(_PROBE, values)


def _who_sees(target: str) -> str:
    """Which server and operator will see what, in a line or two."""
    from ots.netio.speed.server_list import BadList
    from ots.session.speed_servers import Servers, operators

    if "://" in target:
        return _("{server} will see this machine's address and what is measured").format(
            server=_without_user(target)
        )
    try:
        servers = Servers().named(target)
    except BadList as error:
        raise CommandError(str(error)) from None
    if len(servers) == 1:
        (server,) = servers
        who = ", ".join(text for text in (server.operator, server.place, server.about) if text)
        said = _("{server} will see this machine's address and what is measured").format(server=server.name)
        return f"{said}\n{server.url}   {who}".rstrip()
    names = operators(servers)
    shown = ", ".join(names[:_SHOWN_OPERATORS]) + (" …" if len(names) > _SHOWN_OPERATORS else "")
    return _(
        "the nearest of {n} servers is measured ({operators}); all of them see this machine's address, that "
        "one what is measured (another: --server NAME; ots servers list)"
    ).format(n=len(servers), operators=shown)


def _without_user(url: str) -> str:
    scheme, _separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


command: click.Command = click.command(
    "speedtest", help=_(_PROBE.summary) + "\n\n" + _EXAMPLES, params=_options()
)(run_options(_run))
