"""The command `ots`: a group that imports a command only when it is called.

`ots --help` reads the generated index and imports click alone. A name that is neither a command nor a
built-in kind is looked up among third-party probes.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from ots import __version__, i18n
from ots.commands import exit_codes, nagios_style
from ots.commands.click_words import translate_click
from ots.commands.index import KINDS, SECTIONS
from ots.commands.output import CommandError, has_spoken, report_error, stdout_fault
from ots.i18n import N_, _

_MEASURE = N_("Measure now (ots KIND TARGET)")
HEADINGS = (_MEASURE, N_("Speed test"), N_("Cases"), N_("Reports"), N_("Serving others"), N_("This machine"))
"""The sections of the help, in the index's words."""

_EXAMPLES = ("ots ping 192.0.2.1", "ots run office.yaml --var server=…", "ots report show last")


class LazyGroup(click.Group):
    """Commands by name from the index; commands win over probe kinds.

    Its own texts are declared before the language is known, so they are translated where they are shown.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands] + list(_plain_kinds())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if any(name in commands for commands in SECTIONS.values()):
            command: click.Command = importlib.import_module(f"ots.commands.{name}").command
            _head_examples(command)
            return command
        from ots.commands.kind import kind_command

        return kind_command(name.replace("-", "_"))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_(self.help or ""))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = (parameter.get_help_record(ctx) for parameter in self.get_params(ctx))
        rows = [(record[0], _(record[1])) for record in records if record is not None]
        with formatter.section(_("Options")):
            formatter.write_dl(rows)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write(_("Examples:") + "\n")
        with formatter.indentation():
            for example in _EXAMPLES:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in {_MEASURE: _plain_kinds(), **SECTIONS}.items():
            rows = [(name, _(summary)) for name, summary in commands.items()]
            with formatter.section(_(title)):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = _("did you mean {name}?").format(name=near[0]) if near else _("see ots --help")
            message = _("no command or probe {name!r}").format(name=args[0])
            raise CommandError(f"{message}; {hint}") from None


def _plain_kinds() -> dict[str, str]:
    """Kinds that have no command of their own, as they are typed, with their summaries."""
    own = {name for commands in SECTIONS.values() for name in commands}
    return {kind.replace("_", "-"): summary for kind, summary in KINDS.items() if kind not in own}


def _head_examples(command: click.Command) -> None:
    """Puts the heading above the examples of a command, and of those below it, into the reader's language."""
    command.help = (command.help or "").replace("\nExamples:\n", f"\n{_('Examples:')}\n")
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _head_examples(below)


_LANGUAGE_GIVEN = "ots.language_given"


def _choose_language(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_LANGUAGE_GIVEN] = True
        i18n.choose(value)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"ots {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=N_("OTS measures networks and services, and writes reports that hold."),
)
@click.option(
    "--lang",
    type=click.Choice(i18n.LANGUAGES),
    is_eager=True,
    expose_value=False,
    callback=_choose_language,
    help=N_("Language of what you read."),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help=N_("Say which."),
)
@click.option("-v", "--verbose", count=True, help=N_("Log more to stderr (twice: everything)."))
@click.pass_context
def cli(ctx: click.Context, verbose: int) -> None:
    if not ctx.meta.get(_LANGUAGE_GIVEN):
        from ots.config import stated_language

        stated = stated_language()
        i18n.choose(None if stated == i18n.unknown_language() else stated)
    if verbose:
        from ots.log import configure

        configure(verbose)
    if ctx.invoked_subcommand is None:
        from ots.commands.start import show_start

        show_start()


class _Terminated(SystemExit):
    """SIGTERM outside a run: a SystemExit, since an event loop lets that through and tidies up."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated(exit_codes.TERMINATED)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs `ots` and exits; never a traceback for a user."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    arguments = list(sys.argv[1:] if argv is None else argv)
    i18n.choose()
    translate_click()
    _warn_of_language()
    code = _run(arguments)
    _let_go_of_stdout()
    sys.exit(code)


def _let_go_of_stdout() -> None:
    """Python flushes stdout once more as it ends, and a failure there would change the exit code.

    That it can't be written has been told by then.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn_of_language() -> None:
    stray = i18n.unknown_language()
    if stray is not None:
        message = _("warning: OTS_LANG={name!r} is none of the languages here: {known}")
        click.echo(message.format(name=stray, known=", ".join(i18n.LANGUAGES)), err=True)


def _run(arguments: list[str]) -> int:
    report = nagios_style.report_error if nagios_style.asked(arguments) else report_error
    as_json = "--json" in arguments
    try:
        result: Any = cli.main(arguments, prog_name="ots", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        ended = CommandError(_("interrupted"), exit_code=exit_codes.INTERRUPTED)
        return report(ended, as_json=as_json and not has_spoken())
    except _Terminated:
        ended = CommandError(_("terminated"), exit_code=exit_codes.TERMINATED)
        return report(ended, as_json=as_json and not has_spoken())
    except click.ClickException as error:
        return report(error, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.PASS
    except Exception as error:
        fault = stdout_fault() if isinstance(error, OSError) else None
        if fault is not None:
            return report(fault, as_json=as_json)
        from ots.config import SettingsError

        if isinstance(error, SettingsError):
            return report(CommandError(str(error), remedy=error.remedy), as_json=as_json)
        logging.getLogger("ots").debug("internal error", exc_info=True)
        failure = CommandError(
            _("internal error: {kind}: {text}").format(kind=type(error).__name__, text=error),
            exit_code=exit_codes.INTERNAL,
            remedy=_("run it again with -vv to see where, and report it"),
        )
        return report(failure, as_json=as_json)
    return result if isinstance(result, int) else exit_codes.PASS
