"""`ots job`: whose work the measurements are; an open job goes into every report until it is finished."""

from __future__ import annotations

import time

import click

from ots.clock import rfc3339
from ots.commands import job_view
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import MAX_JOB_ID, Line, Quantity
from ots.commands.store_errors import store_errors
from ots.config import data_dir
from ots.i18n import _
from ots.store import Shelf
from ots.store.jobs import changing, read_jobs

_EXAMPLES = """\b
Examples:
  ots job start HZ-117 --customer ACME --site 'West Lake 3F' --subscribed-down '100 Mbit/s'
  ots job note 'rain since noon, window side'
  ots ping 192.0.2.1
  ots job show
  ots job finish
"""
_MAX_NOTE = 2000


@click.group("job", help=_("Whose work this is: start, note, finish a job.") + "\n\n" + _EXAMPLES)
def command() -> None:
    pass


@command.command(
    "start", help=_("Open a job: every report carries it until it is finished. Again: add what was left out.")
)
@click.argument("job_id", metavar="ID", type=Line(MAX_JOB_ID))
@click.option("--customer", type=Line(), help=_("Who the work is for."))
@click.option("--site", type=Line(), help=_("Where it is done."))
@click.option("--engineer", type=Line(), help=_("Who does it."))
@click.option("--purpose", type=Line(), help=_("What for: acceptance, complaint, routine."))
@click.option("--plan", type=Line(), help=_("The test plan it belongs to."))
@click.option(
    "--subscribed-down",
    type=Quantity("rate"),
    metavar="RATE",
    help=_("What the customer pays for, towards the customer: '100 Mbit/s'."),
)
@click.option("--subscribed-up", type=Quantity("rate"), metavar="RATE", help=_("The same from the customer."))
@json_option
def start_command(
    job_id: str,
    subscribed_down: float | None,
    subscribed_up: float | None,
    as_json: bool,
    **texts: str | None,
) -> None:
    for rate in (subscribed_down, subscribed_up):
        if rate is not None and rate <= 0:
            raise CommandError(_("a subscribed rate is more than 0 bit/s"))
    stated = {
        **texts,
        "subscribed_down_bits_per_second": subscribed_down,
        "subscribed_up_bits_per_second": subscribed_up,
    }
    said = {name: value for name, value in stated.items() if value is not None}
    with store_errors(), changing(data_dir()) as jobs:
        if jobs.current is not None and jobs.current.id != job_id:
            raise CommandError(
                _("job {id} is open").format(id=jobs.current.id), remedy=_("end it first: ots job finish")
            )
        known = jobs.find(job_id) is not None
        record = jobs.start(job_id, said, _now())
    if as_json:
        print_json({"job": job_view.document(record)})
        return
    click.echo("\n".join(job_view.lines(record)))
    if not known:
        click.echo(_("every report carries it until: ots job finish"), err=True)


@command.command(
    "note", help=_("Write down what you see; it goes into the job's later reports with its time.")
)
@click.argument("words", nargs=-1, required=True, metavar="TEXT…")
@json_option
def note_command(words: tuple[str, ...], as_json: bool) -> None:
    text = Line(_MAX_NOTE).convert(" ".join(words), None, None)
    with store_errors(), changing(data_dir()) as jobs:
        record = jobs.current
        if record is None:
            raise _none_open()
        note = record.note(text, _now())
    if as_json:
        print_json({"job": record.id, "note": {"time": note.time, "text": note.text}})
    else:
        click.echo(f"{record.id}   {job_view.local(note.time)}  {text}")


@command.command("finish", help=_("Close the open job and say what was measured."))
@json_option
def finish_command(as_json: bool) -> None:
    with store_errors():
        with changing(data_dir()) as jobs:
            record = jobs.finish(_now())
        if record is None:
            raise _none_open()
        with Shelf.open() as shelf:
            entries = shelf.list(job=record.id)
    job_view.show(record, entries, as_json=as_json)


@command.command("show", help=_("The open job, or another one, with its reports."))
@click.argument("job_id", required=False, metavar="[ID]")
@json_option
def show_command(job_id: str | None, as_json: bool) -> None:
    with store_errors():
        jobs = read_jobs(data_dir())
        record = jobs.current if job_id is None else jobs.find(job_id)
        if record is None:
            if job_id is None:
                raise _none_open()
            raise CommandError(
                _("there is no job {id!r} here").format(id=job_id),
                remedy=_("ots job list shows what there is"),
            )
        with Shelf.open() as shelf:
            entries = shelf.list(job=record.id)
    job_view.show(record, entries, as_json=as_json)


@command.command("list", help=_("Your jobs, the newest first; also those that only a run's --job named."))
@json_option
def list_command(as_json: bool) -> None:
    with store_errors():
        jobs = read_jobs(data_dir())
        with Shelf.open() as shelf:
            entries = shelf.list()
    rows = job_view.rows(jobs, entries)
    if as_json:
        print_json({"open": jobs.open, "jobs": rows})
    elif rows:
        click.echo("\n".join(job_view.table(rows)))
    else:
        click.echo(_("no jobs yet: ots job start ID"), err=True)


def _none_open() -> CommandError:
    return CommandError(_("no job is open"), remedy=_("ots job start ID opens one"))


def _now() -> str:
    """The time to the second: a person's note knows no better."""
    return rfc3339(time.time())[:19] + "Z"
