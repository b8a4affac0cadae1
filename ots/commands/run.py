"""`ots run CASE…`: run cases and show their reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.case_errors import case_errors
from ots.commands.output import CommandError, print_json
from ots.commands.run_options import Pair, RunOptions, gather, run_options
from ots.i18n import _

if TYPE_CHECKING:
    from ots.engine.planner import Plan
    from ots.session.execute import Result

_EXAMPLES = """\b
Examples:
  ots run ping
  ots run office.yaml --var server=http://127.0.0.1:8080
  ots run office.yaml --plan
  ots run office.yaml --every '30 s' --for '2 h' --job HZ-117
  ots run office.yaml --format html --output office.html
  ots run office.yaml --format junit --output results.xml
  ots run office.yaml --exit-style nagios
"""


@click.command("run", help=_("Run cases: YAML files, or shipped cases by name.") + "\n\n" + _EXAMPLES)
@click.argument("cases", nargs=-1, required=True, metavar="CASE…")
@click.option("--var", "variables", type=Pair(), multiple=True, help=_("Set a variable of the case."))
@click.option(
    "--plan", "plan_only", is_flag=True, help=_("Only say what would run, how long, how much data.")
)
@run_options
def command(
    cases: tuple[str, ...], variables: tuple[tuple[str, str], ...], plan_only: bool, **rest: Any
) -> int:
    options = gather(**rest)
    if len(cases) > 1 and options.output is not None:
        raise CommandError(_("--output takes the report of one case; run them one by one"))
    if len(cases) > 1 and options.nagios:
        raise CommandError(_("--exit-style nagios has one status for one case; run them one by one"))
    from ots.session.prepare import prepare

    with case_errors():
        plans = [prepare(name, dict(variables)) for name in cases]
    _refuse_unused(dict(variables), plans)
    if plan_only:
        return _show_plans(plans, options)
    return exit_codes.strongest(run_and_show(plan, options) for plan in plans)


def _refuse_unused(given: dict[str, str], plans: list[Plan]) -> None:
    """A mistyped variable must not leave the case's own value in force without a word."""
    from ots.strictyaml import suggest

    used = {name for plan in plans for name in plan.case.variables}
    for name in given:
        if name not in used:
            raise CommandError(
                _("--var {name}: no such variable in the case").format(name=name) + suggest(name, used)
            )


def run_and_show(plan: Plan, options: RunOptions) -> int:
    """Runs one plan, stores, shows and sends its report; returns the exit code."""
    return run_to_the_end(plan, options)[1]


def run_to_the_end(plan: Plan, options: RunOptions) -> tuple[Result, int]:
    """As `run_and_show`; returns the result as well."""
    from ots.commands.showing import show_result
    from ots.commands.uploading import send_after, send_before

    send_before(options)
    result = run_and_store(plan, options)
    code = show_result(result, options)
    return result, exit_codes.strongest([code, send_after(result.report, options)])


def run_and_store(plan: Plan, options: RunOptions) -> Result:
    """Runs one plan under a live view into the store."""
    from ots.commands.live import LiveView
    from ots.commands.store_errors import store_errors
    from ots.config import settings
    from ots.remote.enrolled import queue_of_run
    from ots.session.execute import Options, execute
    from ots.store import Store

    for warning in plan.case.warnings:
        click.echo(_("warning: {text}").format(text=warning), err=True)
    _warn_of_licence(plan)
    asked = Options(
        tags=options.tags,
        job=options.job,
        every=options.every,
        duration=options.duration,
        max_data=options.max_data,
        queue=queue_of_run(settings(), asked=options.upload),
    )
    with store_errors(), Store.open(settings().data_dir) as store, LiveView() as live:
        return execute(plan, asked, settings(), store, live)


_told: set[str] = set()
"""What was said of licences, for several cases in one command have one licence."""


def _warn_of_licence(plan: Plan) -> None:
    from ots.license.entitlement import Rights

    rights = plan.entitlement
    if not isinstance(rights, Rights) or rights.standings is None:
        return
    from ots.commands.license_view import warnings

    for warning in warnings(rights):
        if warning not in _told:
            _told.add(warning)
            click.echo(_("warning: {text}").format(text=warning), err=True)


def _show_plans(plans: list[Plan], options: RunOptions) -> int:
    from ots.commands.planned import plan_document, plan_text

    if options.as_json:
        documents = [plan_document(plan) for plan in plans]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        click.echo("\n\n".join(plan_text(plan) for plan in plans))
    return exit_codes.PASS
