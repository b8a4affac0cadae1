"""`ots KIND TARGET…`: one probe, now. Its options come from the probe's declared parameters alone."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ots.commands.case_errors import case_errors
from ots.commands.output import CommandError
from ots.commands.params_file import read_params
from ots.commands.run_options import Quantity, gather, run_options
from ots.i18n import _
from ots.probe import Probe
from ots.registry import BrokenProbe, kinds
from ots.schema.quantity import is_secret, written

OWN = "param_"
"""Prefix of a parameter's name among click's, so that none can clash with an option of the run."""

_RUN_NAMES = frozenset(
    {"job", "tag", "max_data", "every", "for", "format", "output", "upload", "json", "repeat", "pause"}
)


class SecretPlace(click.ParamType[str]):
    """Where a secret lies. What was given may be the secret itself, so no message repeats it."""

    name = "place"
    _FORM = re.compile(r"(env|file):.+|prompt|\$\{secret:.+\}", re.DOTALL)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not isinstance(value, str) or not self._FORM.fullmatch(value):
            self.fail(
                _("write where the secret lies, never the secret: env:NAME, file:PATH or prompt"), param, ctx
            )
        return value


def kind_command(kind: str) -> click.Command | None:
    """The command of a probe kind, or None if there is no such kind."""
    known = kinds()
    if kind not in known:
        return None
    try:
        return _command(known[kind])
    except BrokenProbe as error:
        raise CommandError(str(error), remedy=_("see ots probes list")) from None


def _command(probe: Probe) -> click.Command:
    def run(**values: Any) -> int:
        return run_kind(probe, values)

    command: click.Command = click.command(
        probe.kind.replace("_", "-"), help=_help(probe), params=parameters(probe)
    )(run_options(run))
    return command


def _help(probe: Probe) -> str:
    name = probe.kind.replace("_", "-")
    example = probe.example
    forms = _("A target is {forms}.").format(forms=_(probe.targets.describe()))
    return (
        f"{_(probe.summary)}\n\n{forms}\n\n\b\n{_('Examples:')}\n"
        f"  ots {name} {example}\n  ots {name} {example} --repeat 5 --pause '1 s' --json"
    )


def parameters(probe: Probe) -> list[click.Parameter]:
    """The target, an option for each field of Params, and how often."""
    own: list[click.Parameter] = [
        click.Argument(["targets"], nargs=-1, required=True, metavar="TARGET…"),
        *(_option(name, field) for name, field in probe.Params.model_fields.items()),
        click.Option(
            ["--params", "params_file"],
            type=click.Path(path_type=Path, dir_okay=False),
            help=_("Read parameters from a YAML file; options win over it."),
        ),
        click.Option(
            ["--warn", "warn"], multiple=True, help=_("A limit that should hold: 'rtt p95 < 60 ms'.")
        ),
        click.Option(["--fail", "fail"], multiple=True, help=_("A limit that must hold: 'loss <= 1 %'.")),
        click.Option(["--repeat"], type=click.IntRange(1), default=1, help=_("Measure so many times …")),
        click.Option(["--pause"], type=Quantity("duration"), default=0.0, help=_("… with a pause between.")),
        click.Option(
            ["--time-limit", "time_limit"], type=Quantity("duration"), help=_("End it after this long.")
        ),
    ]
    return own


def _option(name: str, field: FieldInfo) -> click.Option:
    flag = name.replace("_", "-")
    if name in _RUN_NAMES:
        flag = f"param-{flag}"
    if is_secret(field):
        return click.Option(
            [f"--{flag}-from", OWN + name],
            type=SecretPlace(),
            help=_(field.description or "") + " " + _("Write env:NAME, file:PATH or prompt."),
        )
    help_text = _(field.description or "")
    if field.default is not PydanticUndefined and field.default is not None:
        help_text += " " + _("Default: {value}.").format(value=written(field))
    if field.annotation is bool:
        return click.Option([f"--{flag}/--no-{flag}", OWN + name], default=None, help=help_text)
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return click.Option([f"--{flag}", OWN + name], type=click.Choice(choices), help=help_text)
    multiple = getattr(field.annotation, "__origin__", None) in (list, tuple)
    return click.Option([f"--{flag}", OWN + name], multiple=multiple, default=None, help=help_text)


def run_kind(probe: Probe, values: dict[str, Any]) -> int:
    """Runs the probe with what click made of `parameters` and of the options of a run."""
    from ots.commands.run import run_and_show
    from ots.session.prepare import prepare_probe

    targets = values.pop("targets")
    path = values.pop("params_file")
    read = None if path is None else read_params(path)
    given_by_option: dict[str, Any] = {}
    limits = {name: values.pop(name) for name in ("warn", "fail", "repeat", "pause", "time_limit")}
    for name in probe.Params.model_fields:
        given = values.pop(OWN + name)
        if given is not None and given != ():
            given_by_option[name] = list(given) if isinstance(given, tuple) else given
    options = gather(**values)
    params = given_by_option if read is None else read.values | given_by_option
    with case_errors(), nullcontext() if read is None else read.faults_in_place(given_by_option):
        plan = prepare_probe(probe, targets, params, **limits)
    return run_and_show(plan, options)
