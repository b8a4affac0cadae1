"""After a run: render the report, write it where it was asked for, and find the exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, print_json, takes_colour, write_out
from ots.commands.run_options import RunOptions
from ots.i18n import _, language
from ots.model.report import Report
from ots.probe import Probe
from ots.reports.format import CannotRender, View, renderer
from ots.schema.load_metrics import metrics_of
from ots.session.execute import Result
from ots.session.export import export_refusal


def view(*reports: Report, width: int | None = None, colour: bool | None = None) -> View:
    """For whom we render: this terminal, this language, the metrics of these reports' probes.

    Without a report those of every usable probe; to load them all takes a third of a second.
    """
    return View(
        definitions={
            definition.key: definition
            for probe in _probes(reports)
            for definition in metrics_of(probe, "any")
        },
        language=language(),
        width=width or shutil.get_terminal_size((100, 24)).columns,
        colour=takes_colour() if colour is None else colour,
    )


def _probes(reports: Sequence[Report]) -> list[Probe]:
    from ots.registry import BrokenProbe, kinds

    known = kinds()
    if not reports:
        return known.usable()
    found = []
    for kind in sorted({step.probe for report in reports for step in report.steps}):
        # A report may come from elsewhere, where there are other probes: it is shown by its keys then.
        if kind in known:
            with contextlib.suppress(BrokenProbe):
                found.append(known[kind])
    return found


def render(report: Report, format_name: str, how: View, *, folder: Path | None = None) -> str | bytes:
    """The report in one of the built-in formats; `folder` is the store's, where its artifacts lie."""
    from ots.store.kept import KeptFiles

    if folder is not None:
        how = dataclasses.replace(how, artifacts=KeptFiles(folder, report))
    try:
        return renderer(format_name).render(report, how)
    except CannotRender as error:
        raise CommandError(str(error), exit_code=exit_codes.NOT_WRITTEN, remedy=error.remedy) from None


def deliver(document: str | bytes, output: Path | None) -> None:
    """Writes a rendered report to stdout or to a file; a file appears whole or not at all.

    A text ends with a line's end on stdout; bytes go out as they are.
    """
    data = document if isinstance(document, bytes) else document.encode()
    if output is None:
        write_out(data if isinstance(document, bytes) or data.endswith(b"\n") else data + b"\n")
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CommandError(
            _("cannot write {path}: {reason}").format(path=output, reason=error.strerror or error),
            exit_code=exit_codes.NOT_WRITTEN,
            remedy=_("give another --output; the report itself is stored: ots report show last"),
        ) from None


def show_result(result: Result, options: RunOptions) -> int:
    """Shows a finished run as asked and returns its exit code."""
    how = view(result.report)
    if options.nagios:
        return _show_status(result, options, how)
    _write(result.report, options, how)
    of_case = options.format == "terminal" and result.report.case.version is not None
    if of_case and export_refusal("html") is None:
        click.echo(f"{_('HTML report')}: {write_page(result.report, how)}")
    codes = [exit_code(result.report, options)]
    if result.not_stored is not None:
        click.echo(_("The report was not stored: {reason}").format(reason=result.not_stored), err=True)
        codes.append(exit_codes.NOT_WRITTEN)
    return exit_codes.strongest(codes)


def _show_status(result: Result, options: RunOptions, how: View) -> int:
    """Prints the status for a monitoring system and returns its code; the report goes to --output."""
    from ots.reports import nagios

    if options.output is not None:
        _write(result.report, options, how)
    deliver(nagios.render(result.report, how, warn_as_fail=options.warn_as_fail), None)
    if result.not_stored is not None:
        click.echo(_("The report was not stored: {reason}").format(reason=result.not_stored), err=True)
    return nagios.state_of(result.report, warn_as_fail=options.warn_as_fail)


def _write(report: Report, options: RunOptions, how: View) -> None:
    """Writes the report where it was asked for; in a folder by number and case, and then it says the name."""
    from ots.config import settings

    document = render(report, options.format, how, folder=settings().data_dir)
    if options.output is None or not options.output.is_dir():
        deliver(document, options.output)
        return
    extension = renderer(options.format).FORMAT.extension
    path = options.output / f"{report.seq}-{report.case.id}.{extension}"
    deliver(document, path)
    if options.as_json:
        print_json({"report_id": report.report_id, "format": options.format, "path": str(path)})
    else:
        click.echo(path, err=options.nagios)


def write_page(report: Report, how: View) -> Path:
    """Writes the HTML page of a report into the data folder, where people look for it, and says where."""
    from ots.config import settings

    folder = settings().data_dir / "html"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = folder / f"{report.seq}-{report.case.id}.html"
    deliver(render(report, "html", how, folder=settings().data_dir), page)
    return page


def exit_code(report: Report, options: RunOptions) -> int:
    """What one report means for the caller of the command."""
    if report.run.reason == "interrupted":
        return exit_codes.INTERRUPTED
    if report.run.reason == "terminated":
        return exit_codes.TERMINATED
    if report.verdict == "fail" or (report.verdict == "warn" and options.warn_as_fail):
        return exit_codes.FAIL
    if report.verdict == "error" or report.run.state == "aborted":
        return exit_codes.ERROR
    if report.verdict == "skipped":
        licensed = [step for step in report.steps if step.reason != "license"]
        return exit_codes.NOTHING_MEASURED if licensed or not report.steps else exit_codes.LICENCE_REFUSED
    return exit_codes.PASS
