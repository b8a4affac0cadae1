"""What click itself says, in the reader's language.

click binds gettext's functions at import, and those follow the environment; here they are bound to our
catalogue, which follows `--lang`.
"""

from __future__ import annotations

import click.core
import click.decorators
import click.exceptions
import click.formatting
import click.parser
import click.termui
import click.types

from ots import i18n
from ots.i18n import N_, N_plural

_MODULES = (
    click.core,
    click.decorators,
    click.exceptions,
    click.formatting,
    click.parser,
    click.termui,
    click.types,
)

SINGLE = (
    N_("Aborted!"),
    N_("Commands"),
    N_("Could not open file {filename!r}: {message}"),
    N_("Error: invalid input"),
    N_("Error: {message}"),
    N_("Invalid value for {param_hint}: {message}"),
    N_("Invalid value: {message}"),
    N_("Missing argument"),
    N_("Missing command."),
    N_("Missing option"),
    N_("Missing parameter"),
    N_("Missing {param_type}"),
    N_("No such command {name!r}."),
    N_("No such option {name!r}."),
    N_("Option {name!r} does not take a value."),
    N_("Options"),
    N_("Show this message and exit."),
    N_("Usage:"),
    N_("default: {default}"),
    N_("directory"),
    N_("file"),
    N_("path"),
    N_("{name} {filename!r} does not exist."),
    N_("{name} {filename!r} is a directory."),
    N_("{name} {filename!r} is a file."),
    N_("{name} {filename!r} is not readable."),
    N_("{name} {filename!r} is not writable."),
    N_("{value!r} is not a valid {number_type}."),
    N_("{value} is not in the range {range}."),
)
"""The texts of click that users of `ots` can meet; any other stays English."""


PLURAL = (
    N_plural("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    N_plural("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    N_plural("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    N_plural("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
)


def translate_click() -> None:
    """Binds click's gettext functions to the catalogue of `ots`."""
    for module in _MODULES:
        for name in ("_", "ngettext"):
            if hasattr(module, name):
                setattr(module, name, getattr(i18n, name))
