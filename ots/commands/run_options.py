"""The options that `ots run` and `ots KIND` share, and what happens after a run: show, write, exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ots.commands import exit_codes, nagios_style
from ots.commands.output import CommandError, json_option
from ots.i18n import _, language
from ots.reports.format import BINARY, NAMES, CannotRender, check_installed
from ots.session.export import export_refusal
from ots.units import Dimension, UnitError, parse

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_JOB_ID = 100


class Line(click.ParamType[str]):
    """A line of text as a report can hold it."""

    name = "text"

    def __init__(self, longest: int = 200) -> None:
        self.longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = " ".join(str(value).split())
        if not text:
            self.fail(_("it is empty"), param, ctx)
        if len(text) > self.longest:
            message = _("{n} characters are too many: at most {most}").format(n=len(text), most=self.longest)
            self.fail(message, param, ctx)
        if not text.isprintable():
            self.fail(_("{text!r} holds what is no text").format(text=text[:60]), param, ctx)
        return text


class Quantity(click.ParamType[float]):
    """A number with its unit, such as `30 s` or `500 MB`; gives base units."""

    name = "quantity"

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse(value, self.dimension)
        except UnitError as error:
            self.fail(str(error), param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """`key=value`."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(_("{value!r} is not of the form key=value").format(value=value), param, ctx)
        if any("\ud800" <= char <= "\udfff" for char in key + text):
            self.fail(_("{text!r} holds what is no text").format(text=str(value)[:60]), param, ctx)
        return key, text


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the caller asked for, beside the case itself."""

    job: str | None
    tags: dict[str, str]
    max_data: int | None
    every: float | None
    duration: float | None
    format: str
    output: Path | None
    warn_as_fail: bool
    as_json: bool
    nagios: bool
    upload: bool | None


_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "--job",
        type=Line(MAX_JOB_ID),
        help=_("The job that this run belongs to, whichever is open (see ots job)."),
    ),
    click.option("--tag", "tags", type=Pair(), multiple=True, help=_("Note key=value with the report.")),
    click.option("--max-data", type=Quantity("size"), help=_("Move no more than this, e.g. '200 MB'.")),
    click.option("--every", type=Quantity("duration"), help=_("Repeat this often, e.g. '30 s' …")),
    click.option("--for", "duration", type=Quantity("duration"), help=_("… for so long, e.g. '2 h'.")),
    click.option("--format", type=click.Choice(NAMES), default="terminal", help=_("How to show the report.")),
    click.option(
        "--output",
        type=click.Path(path_type=Path),
        help=_("Write it to this file, or into this folder, not to stdout."),
    ),
    click.option(
        "--upload/--no-upload",
        default=None,
        help=_("Send the report to the server and wait for it, or don't (as upload.mode says)."),
    ),
    click.option("--warn-as-fail", is_flag=True, help=_("Exit with 1 for a warning too.")),
    click.option(
        "--exit-style",
        type=click.Choice(nagios_style.STYLES),
        default="ots",
        help=_("nagios: print a status line with performance data, exit with 0, 1, 2 or 3."),
    ),
    json_option,
)


def run_options(command: Command) -> Command:
    """Adds the options of a run; the command gets them as keywords for `gather`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def gather(
    *,
    job: str | None,
    tags: tuple[tuple[str, str], ...],
    max_data: float | None,
    every: float | None,
    duration: float | None,
    format: str,
    output: Path | None,
    warn_as_fail: bool,
    exit_style: str,
    upload: bool | None,
    as_json: bool,
) -> RunOptions:
    """The options as one object; refuses what does not go together."""
    nagios = exit_style == "nagios"
    check_format(format, output)
    if nagios and (as_json or (format != "terminal" and output is None)):
        raise CommandError(_("--exit-style nagios prints its own line: give the other format an --output"))
    if (every is None) != (duration is None):
        raise CommandError(_("--every and --for go together: --every '30 s' --for '2 h'"))
    if every is not None and every <= 0:
        raise CommandError(_("--every must be longer than 0 s"))
    return RunOptions(
        job=job,
        tags=dict(tags),
        max_data=None if max_data is None else int(max_data),
        every=every,
        duration=duration,
        format="json" if as_json else format,
        output=output,
        warn_as_fail=warn_as_fail,
        as_json=as_json,
        nagios=nagios,
        upload=upload,
    )


def check_format(name: str, output: Path | None) -> None:
    """Refuses, before anything is measured or written, a format that can't or mustn't be made or shown."""
    refusal = export_refusal(name)
    if refusal is not None:
        raise CommandError(
            _("{name} is switched off in the settings ({place})").format(name=name, place=refusal.place),
            exit_code=exit_codes.LICENCE_REFUSED,
            remedy=f"ots license why {refusal.feature}",
        )
    try:
        check_installed(name, language())
    except CannotRender as error:
        raise CommandError(str(error), remedy=error.remedy) from None
    if name in BINARY and output is None and sys.stdout is not None and sys.stdout.isatty():
        raise CommandError(
            _("{name} is nothing for a terminal").format(name=name),
            remedy=_("write it to a file: --output FILE"),
        )
