"""`ots agent schedule`: which cases this machine runs by itself, and when."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from ots.commands import exit_codes
from ots.commands.case_errors import case_errors
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Pair
from ots.i18n import _


@click.group("schedule", help=_("Which cases the agent runs by itself, and when: add, list, remove."))
def schedule_group() -> None:
    pass


@schedule_group.command("add", help=_("Let the agent run a case; without a time, when the case itself says."))
@click.argument("case", metavar="CASE")
@click.option("--name", help=_("What to call the schedule (the case's id)."))
@click.option("--every", metavar="TIME", help=_("Run so often: '15 min'."))
@click.option("--cron", metavar="FIELDS", help=_("Run at these times: '30 2 * * *'; needs --zone."))
@click.option("--zone", metavar="ZONE", help=_("Time zone, such as Asia/Shanghai."))
@click.option("--window", "windows", multiple=True, help=_("Only then: 'mon-fri 08:00-18:00'; needs --zone."))
@click.option("--spread", metavar="TIME", help=_("Begin up to so much later; '0 s': at the moment itself."))
@click.option(
    "--catch-up", type=click.Choice(["none", "once"]), help=_("Whether one run makes up for missed.")
)
@click.option("--var", "variables", type=Pair(), multiple=True, help=_("Set a variable of the case."))
@json_option
def add_command(
    case: str, name: str | None, variables: tuple[tuple[str, str], ...], as_json: bool, **when: Any
) -> int:
    import os

    import yaml

    from ots.agent.plans import folders
    from ots.config.whole_file import write_whole
    from ots.schema.written import IDENTIFIER
    from ots.session.prepare import loads_the_link, prepare

    with case_errors():
        plan = prepare(case, dict(variables))
    named = name or plan.case.id
    if not IDENTIFIER.fullmatch(named):
        raise CommandError(_("{name!r} is no name of a schedule").format(name=named[:80]))
    written = {key: list(value) if key == "windows" else value for key, value in when.items() if value}
    if written:
        schedule = _understood(written)
    elif plan.case.schedule is None:
        raise CommandError(
            _("the case {id} does not say when it runs").format(id=plan.case.id),
            remedy=_("say it: --every '15 min', or --cron '30 2 * * *' --zone Asia/Shanghai"),
        )
    else:
        schedule = plan.case.schedule
    if schedule.catch_up == "once" and loads_the_link(plan.case):
        raise CommandError(_("a case that loads its link is never made up for: leave --catch-up out"))
    document: dict[str, Any] = {"case": os.path.abspath(case) if os.path.exists(case) else case}
    if written:
        document["schedule"] = written
    if variables:
        document["vars"] = dict(variables)
    path = folders()[0] / f"{named}.yaml"
    try:
        write_whole(path, yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", exit_code=exit_codes.NOT_WRITTEN) from None
    _tell_agent()
    if as_json:
        print_json({"schedule": named, "file": str(path), **document})
    else:
        click.echo(_("{name} is planned; when it runs next: ots agent run --plan").format(name=named))
    return exit_codes.PASS


@schedule_group.command(
    "list", help=_("The schedules of this machine and what the server has assigned to it.")
)
@json_option
def list_command(as_json: bool) -> int:
    from ots.agent.foresight import look_ahead
    from ots.commands.agent_run import placement_document
    from ots.config import settings

    found = look_ahead(settings(), 31 * 86_400.0)
    following: dict[str, Any] = {}
    for each in found.placements:
        following.setdefault(each.schedule_id, placement_document(each))
    rows: list[dict[str, Any]] = [
        {
            "schedule": planned.job.schedule_id,
            "case": planned.case.name,
            "origin": planned.origin,
            "refusal": planned.job.refusal,
            "next": following.get(planned.job.schedule_id),
        }
        for planned in found.plans
    ]
    if as_json:
        print_json(rows)
        return exit_codes.PASS
    if not rows:
        click.echo(_("nothing is planned: ots agent schedule add CASE"), err=True)
    for row in rows:
        said = row["refusal"] or (row["next"] or {}).get("planned_at") or _("never")
        click.echo(f"{row['schedule']:<20} {row['case']:<24} {said}")
    return exit_codes.PASS


@schedule_group.command("remove", help=_("Take a schedule of this machine away; its reports stay."))
@click.argument("name", metavar="NAME")
def remove_command(name: str) -> int:
    from ots.agent.plans import files

    path = files().get(name)
    if path is None:
        raise CommandError(
            _("there is no schedule {name!r} here").format(name=name[:80]),
            remedy=_("ots agent schedule list shows what there is"),
        )
    try:
        path.unlink()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", exit_code=exit_codes.NOT_WRITTEN) from None
    _tell_agent()
    click.echo(_("{name} is planned no more").format(name=name))
    return exit_codes.PASS


def _understood(written: dict[str, Any]) -> Any:
    from ots.schema.place import InOptions
    from ots.schema.schedule import read_schedule
    from ots.strictyaml import Problem

    problems: list[Problem] = []
    found = read_schedule(written, InOptions(lambda path: ".".join(map(str, path)), problems))
    if found is None:
        raise CommandError("; ".join(problem.message for problem in problems))
    return found


def _tell_agent() -> None:
    """A running agent looks at its schedules at once; otherwise within seconds."""
    import os
    import signal

    from ots.agent.presence import read_status
    from ots.config import data_dir

    pid = (read_status(data_dir()) or {}).get("pid")
    if isinstance(pid, int):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGHUP)
