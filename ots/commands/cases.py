"""`ots cases`: check, list, show and write cases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.case_errors import case_errors, problem_document
from ots.commands.case_sync import forget_command, status_command, sync_command
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Pair
from ots.i18n import _, language, ngettext

if TYPE_CHECKING:
    from ots.probe import Probe
    from ots.schema.case import Case

_variables = click.option(
    "--var", "variables", type=Pair(), multiple=True, help=_("Set a variable of the case.")
)


@click.group("cases", help=_("Check, list, show, write and synchronise cases."))
def command() -> None:
    pass


command.add_command(sync_command)
command.add_command(status_command)
command.add_command(forget_command)


@command.command(
    "check",
    help=_("Check cases and say everything that is wrong in them. Exit code 2 if anything is.")
    + "\n\n\b\nExamples:\n  ots cases check office.yaml\n  ots cases check *.yaml --json",
)
@click.argument("cases", nargs=-1, required=True, metavar="CASE…")
@_variables
@json_option
def check(cases: tuple[str, ...], variables: tuple[tuple[str, str], ...], as_json: bool) -> int:
    results = [_checked(name, dict(variables)) for name in cases]
    if as_json:
        print_json({"cases": results})
    else:
        for result in results:
            _show_checked(result)
    return exit_codes.PASS if all(result["ok"] for result in results) else exit_codes.USAGE


@command.command(
    "list",
    help=_("List the cases that have a name: your own and those that come with OTS."),
)
@json_option
def list_cases(as_json: bool) -> None:
    from ots.session.find_case import named_cases

    rows = [{"name": name, "from": where, "title": _title(name)} for name, where in named_cases().items()]
    if as_json:
        print_json({"cases": rows})
        return
    for row in rows:
        origin = "" if row["from"] == "shipped" else f"   ({row['from']})"
        click.echo(f"{row['name']:<20} {row['title']}{origin}")


@command.command("show", help=_("Show what a case does: its steps, limits and schedule, or its text."))
@click.argument("case", metavar="CASE")
@click.option("--source", is_flag=True, help=_("Print the YAML text itself."))
@_variables
@json_option
def show(case: str, source: bool, variables: tuple[tuple[str, str], ...], as_json: bool) -> None:
    from ots.commands.case_view import case_document, case_lines
    from ots.session.find_case import read_case

    with case_errors():
        if source:
            click.echo(read_case(case)[0].rstrip("\n"))
            return
        checked = load_named(case, dict(variables))
    if as_json:
        print_json(case_document(checked))
        return
    for line in case_lines(checked, language()):
        click.echo(line)


@command.command(
    "new",
    help=_("Write a commented case to start from, with one step for each kind of probe.")
    + "\n\n\b\nExamples:\n  ots cases new ping http_download --output web.yaml\n  ots cases new dns-lookup",
)
@click.argument("kinds", nargs=-1, required=True, metavar="PROBE…")
@click.option("--id", "case_id", default=None, help=_("The case's id; otherwise the file's name."))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help=_("Write it to this file, not to stdout."),
)
def new(kinds: tuple[str, ...], case_id: str | None, output: Path | None) -> None:
    from importlib.resources import files

    from ots.schema.template import template

    probes = [_probe(name) for name in dict.fromkeys(name.replace("-", "_") for name in kinds)]
    text = template(probes, case_id or _id_for(output), str(files("ots.schema") / "case-1.json"))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(
            _("{path} is there already").format(path=output),
            remedy=_("name another file, or take that one away"),
        ) from None
    except OSError as error:
        raise CommandError(
            _("cannot write {path}: {reason}").format(path=output, reason=error.strerror or error)
        ) from None
    click.echo(_("{path} is written; check it with: ots cases check {path}").format(path=output))


@command.command(
    "schema", help=_("Print the JSON Schema of a case with the probes installed here, for editors.")
)
def schema() -> None:
    from ots.registry import kinds
    from ots.schema.publish import case_schema

    print_json(case_schema({probe.kind: probe for probe in kinds().usable()}))


def load_named(name: str, variables: dict[str, str]) -> Case:
    """The case of a name or a path, checked. Raises CaseError, CaseNotFound."""
    from ots.registry import kinds
    from ots.schema.load import load_case
    from ots.session.find_case import read_case
    from ots.session.prepare import merged_variables
    from ots.session.target_lists import OwnLists

    text, source = read_case(name)
    return load_case(text, source, kinds(), merged_variables(variables), OwnLists())


def _checked(name: str, variables: dict[str, str]) -> dict[str, Any]:
    """What checking one case found; every key is always there."""
    from ots.schema.load import CaseError, Problem
    from ots.session.find_case import CaseNotFound

    case: Case | None = None
    problems: tuple[Problem, ...] = ()
    try:
        case = load_named(name, variables)
    except CaseError as error:
        problems = error.problems
    except CaseNotFound as error:
        problems = (Problem(name, 0, 0, str(error)),)
    return {
        "case": name,
        "ok": case is not None,
        "id": None if case is None else case.id,
        "version": None if case is None else case.version,
        "steps": None if case is None else len(case.steps),
        "warnings": [] if case is None else list(case.warnings),
        "problems": [problem_document(problem) for problem in problems],
        "text": "\n".join(map(str, problems)),
    }


def _show_checked(result: dict[str, Any]) -> None:
    if not result["ok"]:
        click.echo(result["text"], err=True)
        return
    version = "" if result["version"] is None else f" v{result['version']}"
    steps = ngettext("{n} step", "{n} steps", result["steps"]).format(n=result["steps"])
    click.echo(f"{result['case']}: {_('right')}   {result['id']}{version}, {steps}")
    for warning in result["warnings"]:
        click.echo("  " + _("warning: {text}").format(text=warning))


def _title(name: str) -> str:
    """The title of a named case; why there is none if it is broken."""
    from ots.commands.case_view import title
    from ots.schema.load import CaseError

    try:
        return title(load_named(name, {}), language())
    except CaseError as error:
        return _("broken: {reason}").format(reason=error.problems[0])


def _probe(name: str) -> Probe:
    from ots.registry import BrokenProbe, kinds

    known = kinds()
    if name not in set(known):
        raise CommandError(_("no probe {name!r}").format(name=name), remedy=_("see ots probes list"))
    try:
        return known[name]
    except BrokenProbe as error:
        raise CommandError(str(error)) from None


def _id_for(output: Path | None) -> str:
    """An id from the file's name."""
    words = re.sub(r"[^A-Za-z0-9_-]+", "-", "" if output is None else output.stem).strip("-_")
    return words[:64] or "my-case"
