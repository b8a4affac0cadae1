"""`ots report`: list, show, export, compare, combine, verify and delete reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ots.commands import exit_codes, report_list
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.report_compare import combine_command, diff_command
from ots.commands.report_shelf import moment, the
from ots.commands.report_upload import upload_command
from ots.commands.report_verify import verify_command
from ots.commands.store_errors import open_shelf
from ots.i18n import _
from ots.reports.format import NAMES
from ots.store import Entry, Shelf, StoreError

if TYPE_CHECKING:
    from ots.store.jobs import JobRecord

_VERDICTS = ("pass", "warn", "fail", "measured", "error", "skipped")
_ON_A_SCREEN = 30
"""Reports that a terminal gets to see if nobody asked for a number."""

_OPEN_JOB = "\0"
"""What `--job` without an id gives; no id has it."""

_NUMBERS_LIKE_OPTIONS = {"ignore_unknown_options": True}
"""Lets `-1` (the newest report) be an argument."""

_EXAMPLES = """\b
Examples:
  ots report list --since 2d --verdict fail
  ots report show last
  ots report show -2
  ots report export 412 --format html --output 412.html
  ots report export last --format junit --output results.xml
  ots report diff 409 412
  ots report combine --case office-broadband --since 7d --format csv --output week.csv
"""


@click.group("report", help=_("List, show, export, compare, upload and delete reports.") + "\n\n" + _EXAMPLES)
def command() -> None:
    pass


command.add_command(diff_command)
command.add_command(combine_command)
command.add_command(upload_command)
command.add_command(verify_command)


@command.command("list", help=_("What was measured, the newest first; yours and the service's."))
@click.option(
    "--since", metavar="TIME", help=_("Not before a date (2026-03-01), a time, or an age such as 2h or 3d.")
)
@click.option("--verdict", type=click.Choice(_VERDICTS), help=_("Only those that ended so."))
@click.option(
    "--job",
    is_flag=False,
    flag_value=_OPEN_JOB,
    metavar="[ID]",
    help=_("Only those of a job; without ID: of the open one."),
)
@click.option("--limit", type=click.IntRange(min=1), help=_("At most so many (a terminal: the last 30)."))
@click.option("--all", "everything", is_flag=True, help=_("All of them, also on a terminal."))
@json_option
def list_command(
    since: str | None,
    verdict: str | None,
    job: str | None,
    limit: int | None,
    everything: bool,
    as_json: bool,
) -> None:
    terminal = sys.stdout.isatty() and not as_json
    if limit is None and terminal and not everything:
        limit = _ON_A_SCREEN
    with open_shelf() as shelf:
        record = None if job is None else _job(job)
        job = job if record is None else record.id
        found = shelf.list(since=moment(since), verdict=verdict, job=job, limit=limit)
    if as_json:
        print_json({"reports": report_list.documents(found)})
        return
    if record is not None:
        from ots.commands.job_view import one_line

        click.echo(f"{_('Job')} {one_line(record)}", err=True)
    if not found:
        click.echo(_("no reports yet") if since is verdict is job is None else _("no such report"), err=True)
    else:
        click.echo("\n".join(report_list.lines(found, width=_width(terminal), colour=terminal)))
        if terminal and limit == len(found) == _ON_A_SCREEN:
            click.echo(_("the newest {n}; --all shows every one").format(n=limit), err=True)


@command.command(
    "show",
    help=_("The result of one report: last, -1, a number, or an id."),
    context_settings=_NUMBERS_LIKE_OPTIONS,
)
@click.argument("reference", metavar="REPORT", default="last")
@json_option
def show_command(reference: str, as_json: bool) -> None:
    from ots.commands.showing import deliver, render, view

    with open_shelf() as shelf:
        entry = the(shelf, reference)
        store = shelf.store_of(entry)
        if as_json:
            deliver(store.document(entry).decode(), None)
            return
        report = store.report(entry)
        sending = report_list.sending(store, entry)
    deliver(render(report, "terminal", view(report), folder=entry.folder), None)
    if sending is not None:
        click.echo(sending, err=True)


@command.command("export", help=_("Write one report in some format."), context_settings=_NUMBERS_LIKE_OPTIONS)
@click.argument("reference", metavar="REPORT", default="last")
@click.option(
    "--format",
    "format_name",
    metavar="NAME",
    default="html",
    show_default=True,
    help=", ".join(NAMES) + ".",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=_("File or folder; - is stdout. Default: a name made of number and case, here."),
)
@click.option(
    "--sign", "signed", is_flag=True, help=_("With --format json: write FILE.sig, and FILE.receipt if sent.")
)
@json_option
def export_command(
    reference: str, format_name: str, output: Path | None, signed: bool, as_json: bool
) -> None:
    from ots.commands.run_options import check_format
    from ots.commands.showing import deliver

    format_name = _known_format(format_name)
    to_stdout = output is not None and str(output) == "-"
    if signed and (format_name != "json" or to_stdout):
        raise CommandError(_("--sign: what is signed is the report itself, as a file: --format json"))
    check_format(format_name, None if to_stdout else Path(format_name))
    with open_shelf() as shelf:
        entry = the(shelf, reference)
        document, extension = _rendered(shelf, entry, format_name)
        proofs = _proofs(shelf, entry, document) if signed else {}
    if to_stdout:
        deliver(document, None)
        return
    name = f"{entry.seq}-{entry.case_id}.{extension}"
    path = Path(name) if output is None else output / name if output.is_dir() else output
    deliver(document, path)
    for suffix, statement in proofs.items():
        deliver(f"{statement}\n", path.with_name(path.name + suffix))
    if as_json:
        print_json({"report_id": entry.report_id, "format": format_name, "path": str(path)})
    else:
        click.echo(path)


@command.command("delete", help=_("Delete reports for good."), context_settings=_NUMBERS_LIKE_OPTIONS)
@click.argument("references", metavar="REPORT…", nargs=-1)
@click.option(
    "--before", metavar="TIME", help=_("All that began before a date, a time, or an age such as 90d.")
)
@click.option("--yes", is_flag=True, help=_("Don't ask."))
@json_option
def delete_command(references: tuple[str, ...], before: str | None, yes: bool, as_json: bool) -> None:
    if not references and before is None:
        raise CommandError(
            _("name the reports to delete, or say --before TIME"), remedy=_("ots report delete 412 --yes")
        )
    with open_shelf() as shelf:
        chosen = {entry.report_id: entry for entry in (the(shelf, text) for text in references)}
        limit = moment(before)
        if limit is not None:
            old = (entry for entry in shelf.list() if entry.start < limit and not entry.running)
            chosen |= {entry.report_id: entry for entry in old}
        if chosen and not yes:
            _confirm(list(chosen.values()))
        for entry in chosen.values():
            store = shelf.store_of(entry)
            if not store.writable:
                raise CommandError(
                    _("report {seq} lies in {folder}, which is not yours").format(
                        seq=entry.seq, folder=store.folder
                    ),
                    exit_code=exit_codes.NOT_WRITTEN,
                    remedy=_("ask its owner, or do it as that user"),
                )
            store.delete(entry)
        for store in {shelf.store_of(entry) for entry in chosen.values()}:
            store.compact()
    if as_json:
        print_json({"deleted": list(chosen)})
    else:
        click.echo(_("{n} deleted").format(n=len(chosen)))


def last_lines(count: int) -> list[str]:
    """The newest reports as lines, for the start screen; no lines if there is no store that can be read."""
    try:
        with Shelf.open() as shelf:
            found = shelf.list(limit=count)
    except StoreError as error:
        return [str(error)]
    terminal = sys.stdout.isatty()
    width = _width(terminal)
    return report_list.lines(found, width=None if width is None else width - 2, colour=terminal)


def _job(job: str) -> JobRecord | None:
    """What is known of a job beside its reports; the open one where no id was given."""
    from ots.config import data_dir
    from ots.store.jobs import read_jobs

    jobs = read_jobs(data_dir())
    if job == _OPEN_JOB and jobs.current is None:
        raise CommandError(_("no job is open"), remedy=_("name one: ots report list --job ID"))
    return jobs.current if job == _OPEN_JOB else jobs.find(job)


def _width(terminal: bool) -> int | None:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns if terminal else None


def _known_format(name: str) -> str:
    if name in NAMES:
        return name
    raise CommandError(
        _("there is no report format {name!r}").format(name=name),
        remedy=_("the formats are: {names}").format(names=", ".join(NAMES)),
    )


def _proofs(shelf: Shelf, entry: Entry, document: str | bytes) -> dict[str, str]:
    """The statements about an exported report, by the suffix of their files."""
    from hashlib import sha256

    from ots.remote import proof
    from ots.remote.identity import identity
    from ots.signing.keys import UnusableKey
    from ots.store.outbox import Outbox

    data = document.encode() if isinstance(document, str) else document
    try:
        who = identity(entry.folder)
    except UnusableKey as error:
        raise CommandError(str(error), exit_code=exit_codes.NOT_WRITTEN, remedy=error.remedy) from None
    if who.agent_id != entry.agent_id:
        raise CommandError(_("report {seq} is of another agent").format(seq=entry.seq))
    found = {
        proof.SIGNATURE_SUFFIX: proof.sign_report(
            data, report_id=entry.report_id, revision=entry.revision, seq=entry.seq, who=who
        )
    }
    kept = Outbox(shelf.store_of(entry)).receipt(entry)
    if kept is not None and kept.sha256 == sha256(data).hexdigest():
        found[proof.RECEIPT_SUFFIX] = kept.statement
    return found


def _rendered(shelf: Shelf, entry: Entry, format_name: str) -> tuple[str | bytes, str]:
    """The document and its file extension; JSON is what was stored, byte for byte."""
    from ots.commands.showing import render, view
    from ots.reports.format import renderer

    store = shelf.store_of(entry)
    if format_name == "json":
        return store.document(entry).decode(), "json"
    report = store.report(entry)
    document = render(report, format_name, view(report, width=100, colour=False), folder=entry.folder)
    return document, renderer(format_name).FORMAT.extension


def _confirm(entries: list[Entry]) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            _("{n} reports would be deleted").format(n=len(entries)), remedy=_("say --yes to do it")
        )
    for line in report_list.lines(entries, width=_width(True), colour=True):
        click.echo(line, err=True)
    click.confirm(_("Delete these {n} reports for good?").format(n=len(entries)), abort=True, err=True)
