"""`ots config`: the settings and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ots.commands.columns import cells, padded
from ots.commands.output import CommandError, json_option, print_json
from ots.config import Settings, SettingsError
from ots.config.edit import change
from ots.config.layers import ENVIRONMENT
from ots.config.place import SYSTEM_SETTINGS, settings_files, user_settings
from ots.config.values import listed, load, names
from ots.i18n import _
from ots.units import Dimension, render

_DIMENSIONS: dict[str, Dimension] = {"retention.max_size": "size", "retention.max_age": "duration"}
_EXAMPLES = """\b
Examples:
  ots config show
  ots config set job.customer ACME
  ots config set vars.server http://127.0.0.1:8080
  ots config unset job.customer
"""


@click.group("config", help=_("The settings and where each comes from.") + "\n\n" + _EXAMPLES)
def command() -> None:
    pass


@command.command("show", help=_("Every setting with its value and its origin."))
@json_option
def show_command(as_json: bool) -> None:
    with _faults():
        rows = _rows(load())
    if as_json:
        print_json({"settings": rows})
        return
    shown = [(row["name"], _shown(row["name"], row["value"]), row["origin"]) for row in rows]
    widths = [max(cells(row[column]) for row in shown) for column in (0, 1)]
    for name, value, origin in shown:
        dim = click.style(_(origin), dim=True)
        click.echo(f"{padded(name, widths[0])}  {padded(value, widths[1])}  {dim}")


@command.command("get", help=_("The value of one setting."))
@click.argument("name")
@json_option
def get_command(name: str, as_json: bool) -> None:
    with _faults():
        rows = {row["name"]: row for row in _rows(load())}
    if name not in rows:
        raise CommandError(
            _("there is no setting {name!r}").format(name=name),
            remedy=_("there are: {names}").format(names=listed()),
        )
    if as_json:
        print_json(rows[name])
    else:
        click.echo(_shown(name, rows[name]["value"]))


@command.command("set", help=_("Write a setting into your settings file."))
@click.argument("name")
@click.argument("value")
@click.option("--system", is_flag=True, help=_("Into the file of the whole machine."))
@json_option
def set_command(name: str, value: str, system: bool, as_json: bool) -> None:
    _change(name, value, system, as_json)


@command.command("unset", help=_("Take a setting out of your settings file."))
@click.argument("name")
@click.option("--system", is_flag=True, help=_("Out of the file of the whole machine."))
@json_option
def unset_command(name: str, system: bool, as_json: bool) -> None:
    _change(name, None, system, as_json)


@command.command("path", help=_("The files that are read, the weakest first, and the variables."))
@json_option
def path_command(as_json: bool) -> None:
    files = [{"path": str(path), "exists": path.is_file()} for path in settings_files()]
    if as_json:
        print_json({"files": files, "environment": dict(ENVIRONMENT)})
        return
    for file in files:
        click.echo(f"{file['path']}  {_('is read') if file['exists'] else _('does not exist')}")
    click.echo(_("then the environment: {names}").format(names=", ".join(ENVIRONMENT)))


def _change(name: str, value: str | None, system: bool, as_json: bool) -> None:
    path: Path = SYSTEM_SETTINGS if system else user_settings()
    section, _dot, part = name.partition(".")
    with _faults():
        if section == "features" and part and value is not None:
            from ots.session.rights import switch

            switch(part, str(path))
        change(path, name, value)
        origin = load().origin(name)
    if as_json:
        print_json({"path": str(path), "name": name, "value": value})
        return
    click.echo(str(path))
    if value is not None and not origin.startswith(str(path)):
        click.echo(_("it has no effect here: {origin} says otherwise").format(origin=origin), err=True)


def _rows(settings: Settings) -> list[dict[str, Any]]:
    """Each setting with its value in base units (bytes, seconds) and its origin."""
    values: dict[str, Any] = {}
    for name in names():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        if isinstance(value, dict):
            values |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            values[name] = _plain(value)
    return [{"name": name, "value": value, "origin": settings.origin(name)} for name, value in values.items()]


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _shown(name: str, value: object) -> str:
    """A value as a settings file would state it."""
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(value)
    return render(value, _DIMENSIONS[name]) if isinstance(value, float) else str(value)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise CommandError(str(error), remedy=error.remedy) from None
