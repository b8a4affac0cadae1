"""`ots agent policy`: what a server, and schedules, may do from this machine to others."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Pair
from ots.i18n import _

_EXAMPLES = """\b
Examples:
  ots agent policy show
  ots agent policy set standard
  ots agent policy check /etc/ots/policy.yaml
  ots agent policy explain ping --issuer remote
  ots agent policy explain ping --issuer remote --at 2026-03-04T23:00 --json
"""


@click.group(
    "policy",
    help=_("What a server, and schedules, may do from this machine to others.") + "\n\n" + _EXAMPLES,
)
def policy_group() -> None:
    pass


@policy_group.command("show", help=_("Show the policy in force, and whether everything is held."))
@json_option
def show_command(as_json: bool) -> int:
    from ots.commands.policy_view import policy_document, policy_lines
    from ots.config import data_dir
    from ots.session.hold import held
    from ots.session.policy_file import present_policy

    policy, hold = present_policy(), held(data_dir())
    if as_json:
        print_json(policy_document(policy, hold))
    else:
        click.echo("\n".join(policy_lines(policy, hold)))
    return exit_codes.PASS if policy.fault is None else exit_codes.USAGE


@policy_group.command("set", help=_("Choose a preset; what else the policy's file says stays."))
@click.argument("preset", type=click.Choice(["none", "light", "standard"]))
@json_option
def set_command(preset: str, as_json: bool) -> int:
    from ots.session.policy_file import UnsafePolicy, choose_preset
    from ots.strictyaml import YamlError

    try:
        path = choose_preset(preset)
    except (UnsafePolicy, YamlError) as error:
        raise CommandError(str(error), remedy=_("mend the file: ots agent policy check FILE")) from None
    except OSError as error:
        raise CommandError(
            _("the policy can't be written: {reason}").format(reason=error.strerror or error),
            exit_code=exit_codes.NOT_WRITTEN,
            remedy=_("do it as root, or as the user that the agent runs as"),
        ) from None
    if as_json:
        print_json({"preset": preset, "file": str(path)})
    else:
        click.echo(_("preset {preset}, in {file}").format(preset=preset, file=path))
    return exit_codes.PASS


@policy_group.command("check", help=_("Check a policy's file: its text, and that nobody else can write it."))
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check_command(file: Path, as_json: bool) -> int:
    from ots.commands.policy_view import policy_document, policy_lines
    from ots.policy.document import read_policy
    from ots.session.policy_file import UnsafePolicy, read_safely
    from ots.strictyaml import YamlError

    try:
        policy = read_policy(read_safely(file), str(file))
    except (UnsafePolicy, YamlError) as error:
        raise CommandError(str(error)) from None
    if as_json:
        print_json(policy_document(policy, None))
    else:
        click.echo("\n".join(policy_lines(policy, None)))
    return exit_codes.PASS


@policy_group.command("explain", help=_("Say which rule allows or forbids each step of a case, and why."))
@click.argument("case", metavar="CASE")
@click.option("--var", "variables", type=Pair(), multiple=True, help=_("Set a variable of the case."))
@click.option(
    "--issuer",
    type=click.Choice(["local", "schedule", "remote"]),
    default="remote",
    show_default=True,
    help=_("Who would run it."),
)
@click.option("--role", help=_("The role of whoever asks the server for it."))
@click.option("--project", help=_("The project that it would be run for."))
@click.option("--at", metavar="TIME", help=_("When, such as 2026-03-04T23:00; now if not given."))
@json_option
def explain_command(
    case: str,
    variables: tuple[tuple[str, str], ...],
    issuer: Any,
    role: str | None,
    project: str | None,
    at: str | None,
    as_json: bool,
) -> int:
    from ots.commands.case_errors import case_errors
    from ots.commands.policy_view import explained_document, explained_lines
    from ots.config import settings
    from ots.policy.explanation import explain
    from ots.policy.issuer import Issuer
    from ots.remote.membership import managed_from
    from ots.session.admission import foresee
    from ots.session.prepare import prepare
    from ots.session.usage import UsageError

    moment = _moment(at)
    who = Issuer(kind=issuer, role=role, project=project)
    with case_errors():
        plan = prepare(case, dict(variables))
    stated = settings()
    server = managed_from(stated.data_dir)
    try:
        policy, planned, decision = foresee(plan, who, stated, server=server, moment=moment)
    except UsageError as error:
        raise CommandError(str(error), exit_code=exit_codes.ERROR) from None
    steps = explain(policy, who, planned, decision)
    if as_json:
        print_json(explained_document(policy, who, decision, steps, moment))
    else:
        click.echo("\n".join(explained_lines(policy, who, decision, steps)))
    return exit_codes.PASS if not decision.reasons else exit_codes.FAIL


def _moment(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            _("--at: {text!r} is no time").format(text=text), remedy=_("write it like 2026-03-04T23:00")
        ) from None
