"""`ots report diff` and `ots report combine`: several reports read together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.report_shelf import moment, the
from ots.commands.store_errors import open_shelf
from ots.i18n import _
from ots.store import Entry, Shelf, StoreError

_NUMBERS_LIKE_OPTIONS = {"ignore_unknown_options": True}
"""Lets `-1` (the newest report) be an argument."""

_DIFF_EXAMPLES = """\b
Examples:
  ots report diff -2 -1
  ots report diff 409 412 --all
  ots report diff 409 412 --json
"""

_COMBINE_EXAMPLES = """\b
Examples:
  ots report combine 409 410 412
  ots report combine --job HZ-117
  ots report combine --case office-broadband --since 7d --format csv --output week.csv
"""


@click.command(
    "diff",
    help=_("What changed from report A to report B, and whether it means anything.")
    + "\n\n"
    + _("Figures that were measured in different ways are not compared; it says which and why.")
    + "\n\n"
    + _DIFF_EXAMPLES,
    context_settings=_NUMBERS_LIKE_OPTIONS,
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--all", "everything", is_flag=True, help=_("Every figure, not only what leads or changed."))
@json_option
def diff_command(first: str, second: str, everything: bool, as_json: bool) -> int:
    from ots.commands.showing import deliver, view
    from ots.reports import difference, difference_text
    from ots.reports.reading import Reader

    with open_shelf() as shelf:
        entries = [the(shelf, reference) for reference in (first, second)]
        if entries[0].report_id == entries[1].report_id:
            raise CommandError(
                _("both are report {seq}").format(seq=entries[0].seq),
                remedy=_("name two reports: ots report diff -2 -1"),
            )
        before, after = (shelf.store_of(entry).report(_finished(entry)) for entry in entries)
    how = view(before, after)
    found = difference.compare(before, after, Reader(how))
    if as_json:
        print_json(_built(found))
    else:
        deliver(difference_text.render(found, how, everything=everything), None)
    return exit_codes.PASS if found.changes else exit_codes.NOTHING_MEASURED


@click.command(
    "combine",
    help=_("One table of figures over several runs: ratios pooled, else the median of the runs.")
    + "\n\n"
    + _("Figures that were measured in different ways are not combined; it says which and why.")
    + "\n\n"
    + _COMBINE_EXAMPLES,
    context_settings=_NUMBERS_LIKE_OPTIONS,
)
@click.argument("references", metavar="REPORT…", nargs=-1)
@click.option("--job", metavar="ID", help=_("All of a job."))
@click.option("--case", "case_id", metavar="ID", help=_("All of a case."))
@click.option(
    "--since", metavar="TIME", help=_("All since a date (2026-03-01), a time, or an age such as 7d.")
)
@click.option("--all", "everything", is_flag=True, help=_("Every figure, not only what leads."))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["terminal", "csv"]),
    default="terminal",
    show_default=True,
    help=_("How to show the table; csv has every figure."),
)
@click.option("--output", type=click.Path(path_type=Path), help=_("Write it to this file, not to stdout."))
@json_option
def combine_command(
    references: tuple[str, ...],
    job: str | None,
    case_id: str | None,
    since: str | None,
    everything: bool,
    format_name: str,
    output: Path | None,
    as_json: bool,
) -> int:
    from ots.commands.showing import deliver, view
    from ots.reports import combination_text
    from ots.reports.combination import Combiner
    from ots.reports.reading import Reader

    if not references and job is case_id is since is None:
        raise CommandError(
            _("name the reports to combine, or say --job, --case or --since"),
            remedy=_("ots report combine --case office-broadband --since 7d"),
        )
    how = view(width=None if output is None else 100, colour=None if output is None else False)
    combiner = Combiner(Reader(how))
    left_out: list[dict[str, Any]] = []
    with open_shelf() as shelf:
        for entry in _chosen(shelf, references, job=job, case_id=case_id, since=since):
            try:
                combiner.add(shelf.store_of(entry).report(entry))
            except StoreError as error:
                if references:
                    raise
                left_out.append({"seq": entry.seq, "report_id": entry.report_id, "reason": str(error)})
    found = combiner.result()
    for row in left_out:
        click.echo(_("left out: #{seq}  {reason}").format(**row), err=True)
    if as_json:
        print_json({**_built(found), "left_out": left_out})
    elif format_name == "csv":
        deliver(combination_text.csv(found, how), output)
    else:
        deliver(combination_text.render(found, how, everything=everything), output)
    if found.rows:
        return exit_codes.PASS
    if format_name == "csv" and not as_json:
        click.echo(_("nothing could be combined; without --format csv it is said why"), err=True)
    return exit_codes.NOTHING_MEASURED


def _chosen(
    shelf: Shelf, references: tuple[str, ...], *, job: str | None, case_id: str | None, since: str | None
) -> list[Entry]:
    """The finished reports that are named, or that pass every filter, each once and the oldest first.

    Names and filters together: of the named ones those that pass.
    """
    limit = moment(since)
    found: dict[str, Entry] = {}
    candidates = [the(shelf, text) for text in references] if references else shelf.list(since=limit, job=job)
    for entry in candidates:
        if references:
            _finished(entry)
        passes = (case_id in (None, entry.case_id)) and (job in (None, entry.job))
        if passes and not entry.running and (limit is None or entry.start >= limit):
            found[entry.report_id] = entry
    if not found:
        raise CommandError(_("no such report"), remedy=_("ots report list shows what there is"))
    return sorted(found.values(), key=lambda entry: entry.start)


def _finished(entry: Entry) -> Entry:
    if entry.running:
        raise CommandError(
            _("report {seq} is still running").format(seq=entry.seq), remedy=_("wait until it has ended")
        )
    return entry


def _built(document: object) -> Any:
    import msgspec

    return msgspec.to_builtins(document)
