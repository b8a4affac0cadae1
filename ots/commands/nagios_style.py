"""`--exit-style nagios`: what a monitoring system gets from a run, also from one that never began."""

from __future__ import annotations

from collections.abc import Sequence

import click

STYLES = ("ots", "nagios")
_OPTION = "--exit-style"
_UNKNOWN = 3


def asked(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for it; looked at before the command line is understood."""
    following = zip(arguments, arguments[1:], strict=False)
    return f"{_OPTION}=nagios" in arguments or (_OPTION, "nagios") in following


def report_error(error: click.ClickException, *, as_json: bool) -> int:
    """The error as a status line on stdout, where monitoring reads; always UNKNOWN, never a false alarm.

    The monitoring system asked for its own form, so `as_json` has no say.
    """
    from ots.reports.plain import plain

    remedy = getattr(error, "remedy", None)
    text = error.format_message() + (f" ({remedy})" if remedy else "")
    click.echo("OTS UNKNOWN - " + plain(text).replace("|", "¦"))
    return _UNKNOWN
