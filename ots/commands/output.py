"""How commands speak: people's text or one JSON document on stdout, complaints on stderr.

A command takes `@json_option`, gets `as_json`, and ends with `print_json(document)` or `click.echo(text)`.
What goes wrong is a `CommandError` with its exit code; under `--json` it becomes `{"error": …}` on stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ots.commands import exit_codes
from ots.i18n import _

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandError(click.ClickException):
    """A command could not do what was asked: what, where, what to do, and the exit code."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: int = exit_codes.USAGE,
        remedy: str | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = exit_code
        self.remedy = remedy
        self.details = details

    def document(self) -> dict[str, Any]:
        """The error as `--json` shows it; every key is always there."""
        return {
            "error": {
                "message": self.message,
                "remedy": self.remedy,
                "exit_code": self.code,
                "details": self.details or [],
            }
        }


def json_option(command: Command) -> Command:
    """Adds `--json`, which the command gets as `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help=_("Print one JSON document and nothing else on stdout.")
    )(command)


_state = {"spoken": False}


def has_spoken() -> bool:
    """Whether a document has gone to stdout, so that another would be one too many."""
    return _state["spoken"]


def write_out(data: bytes) -> None:
    """Writes to stdout at once; into nothing where it was closed. CommandError where it can't be written."""
    _state["spoken"] = True
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_written(error) from None


def stdout_fault() -> CommandError | None:
    """What keeps stdout from taking what waits to be written there; None if it took all."""
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        return _not_written(error)
    return None


def _not_written(error: OSError) -> CommandError:
    return CommandError(
        _("cannot write {path}: {reason}").format(path="stdout", reason=error.strerror or error),
        exit_code=exit_codes.NOT_WRITTEN,
    )


def print_json(document: Any) -> None:
    """One JSON document and a line end on stdout; never NaN."""
    write_out((json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode())


def report_error(error: click.ClickException, *, as_json: bool) -> int:
    """Shows an error the way the caller reads, and returns the exit code."""
    if not isinstance(error, CommandError):
        hint = getattr(getattr(error, "ctx", None), "command_path", None)
        remedy = _("see {command} --help").format(command=hint) if hint else None
        error = CommandError(error.format_message(), exit_code=error.exit_code, remedy=remedy)
    if as_json:
        # Where stdout itself is what failed, the complaint still reaches whoever reads stderr.
        with contextlib.suppress(CommandError):
            print_json(error.document())
            return error.code
    click.echo(error.message, err=True)
    if error.remedy:
        click.echo("  → " + error.remedy, err=True)
    return error.code


def is_interactive() -> bool:
    """Whether a person watches: progress is drawn only then, and only on stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def takes_colour() -> bool:
    """Whether stdout is a terminal that shows colours and whose user wants them (no-color.org)."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
