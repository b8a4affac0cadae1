"""`ots version`: which OTS, which formats, which Python."""

from __future__ import annotations

import platform

import click

from ots import __version__
from ots.commands.output import json_option, print_json
from ots.i18n import _

CASE_FORMAT = 1


@click.command("version", help=_("Say which version this is, and which formats it speaks."))
@json_option
def command(as_json: bool) -> None:
    from ots.model.report import SCHEMA_VERSION

    document = {
        "ots": __version__,
        "case_format": CASE_FORMAT,
        "report_schema": SCHEMA_VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    if as_json:
        print_json(document)
        return
    click.echo(f"ots {__version__}   case format {CASE_FORMAT}   report schema {SCHEMA_VERSION}")
    click.echo(f"Python {document['python']} on {document['system']}")
