"""`ots speedtest`: down, up and round trips against a server that is named, or found."""

from __future__ import annotations

from typing import Any

import click

from ots.commands.kind import OWN, parameters, run_kind
from ots.commands.output import CommandError
from ots.commands.run_options import run_options
from ots.i18n import _
from ots.probes.speedtest import Speedtest

_PROBE = Speedtest()
_NOT_TYPED = frozenset({"targets", OWN + "servers", OWN + "directions"})

_EXAMPLES = """\b
Examples:
  ots speedtest --server http://192.0.2.1:8080/
  ots speedtest --server http://192.0.2.1:8080/ --down --duration '5 s'
"""


def _options() -> list[click.Parameter]:
    own = [parameter for parameter in parameters(_PROBE) if parameter.name not in _NOT_TYPED]
    return [
        click.Option(["--server"], metavar="URL", help=_("The server to measure against.")),
        click.Option(["--down"], is_flag=True, help=_("Download only.")),
        click.Option(["--up"], is_flag=True, help=_("Upload only.")),
        *own,
    ]


def _run(**values: Any) -> int:
    server, down, up = (values.pop(name) for name in ("server", "down", "up"))
    if server is None:
        raise CommandError(_("no server is named"), remedy=_("ots speedtest --server URL"))
    values["targets"] = (server,)
    values[OWN + "servers"] = None
    values[OWN + "directions"] = None if down == up else "down" if down else "up"
    return run_kind(_PROBE, values)


command: click.Command = click.command(
    "speedtest", help=_(_PROBE.summary) + "\n\n" + _EXAMPLES, params=_options()
)(run_options(_run))
