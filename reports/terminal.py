"""The result of a run as text for a terminal: a line for each step, or one probe in detail."""

from __future__ import annotations

import io
from collections import Counter

from rich.console import Console
from rich.text import Text

from ots.model.report import Report, Step
from ots.reports import attachment, words
from ots.reports.colours import STYLES
from ots.reports.detail import detail, head
from ots.reports.flow import flow, hanging
from ots.reports.format import Format, View
from ots.reports.origin import origin
from ots.reports.plain import plain
from ots.reports.quantity import duration, shown
from ots.reports.reading import Fragment, Reader
from ots.reports.why import why

FORMAT = Format("terminal", "txt", "text/plain; charset=utf-8")

DEFAULT_WIDTH = 100
_NARROWEST = 40
_NAME_WIDTH = 22


def render(report: Report, view: View) -> str:
    """The whole result: head, where from, steps, verdict with its reason, counts, and what to do next."""
    reader = Reader(view)
    width = _width(view)
    single = report.case.version is None and len(report.steps) == 1
    where = _context(report, reader, width)
    if single:
        step = report.steps[0]
        lines = [*head(step, reader, width), *where, *detail(step, reader, width)]
    else:
        lines = [*_head(report, reader, width), *where, *_steps(report, reader, width)]
    lines += _verdict(report, reader, width, single=single)
    lines += _next(report, reader, width, single=single)
    return printed(lines, view, width)


def step_line(step: Step, view: View, *, report: Report | None = None, name_width: int = 0) -> str:
    """One step that has ended, as `render` prints it; for showing it while the run goes on."""
    width = _width(view)
    return printed(_step(step, report, Reader(view), width, name_width), view, width)


def _width(view: View) -> int:
    return max(_NARROWEST, view.width or DEFAULT_WIDTH)


def _head(report: Report, reader: Reader, width: int) -> list[Text]:
    _ = reader.words.gettext
    case = report.case
    name = plain(case.id) if case.version is None else f"{plain(case.id)} v{case.version}"
    title = case.title.get(reader.words.language) or case.title.get("en") or ""
    steps = reader.words.ngettext("{n} step", "{n} steps", len(report.steps)).format(n=len(report.steps))
    cycles = reader.words.ngettext("{n} cycle", "{n} cycles", report.run.cycles).format(n=report.run.cycles)
    pieces = [Text(name, "bold"), *map(Text, origin(case, reader)), Text(plain(title)), Text(steps)]
    if report.run.cycles > 1:
        pieces.append(Text(cycles))
    if report.job.id is not None:
        pieces.append(Text(_("job {id}").format(id=plain(report.job.id))))
    return flow(pieces, width)


def _context(report: Report, reader: Reader, width: int) -> list[Text]:
    _ = reader.words.gettext
    context = attachment.of_report(report)
    facts = [] if context is None else attachment.facts(context, _)
    pieces = [Text(f"{name} {value}", "bright_black") for name, value in facts]
    precheck = report.run.precheck
    if precheck is not None:
        result = _("ok") if precheck.error is None else reader.error(precheck.error)
        pieces.append(Text(_("precheck {result}").format(result=result), "bright_black"))
    return flow(pieces, width)


def _steps(report: Report, reader: Reader, width: int) -> list[Text]:
    longest = max((Text(plain(step.key)).cell_len for step in report.steps), default=0)
    lines: list[Text] = []
    for step in report.steps:
        lines += _step(step, report, reader, width, longest)
    return lines


def _step(step: Step, report: Report | None, reader: Reader, width: int, name_width: int) -> list[Text]:
    style = STYLES[step.verdict]
    head = Text("  ").append(words.MARKS[step.verdict], style).append(" ").append(plain(step.key))
    column = min(max(name_width, 8), min(_NAME_WIDTH, width // 3))
    indent = 4 + column + 2
    body = flow((_piece(fragment) for fragment in reader.summary(step, report)), width - indent)
    return hanging(head, body, indent)


def _piece(fragment: Fragment) -> Text:
    return Text(fragment.text, "" if fragment.tone is None else STYLES[fragment.tone])


def _verdict(report: Report, reader: Reader, width: int, *, single: bool) -> list[Text]:
    _ = reader.words.gettext
    style = STYLES[report.verdict]
    name = reader.words.verdict(report.verdict)
    head = Text(name.upper() if report.verdict in ("fail", "error") else name, style)
    pieces = [Text("  ").join([head, Text(why(report, reader))])]
    if not single:
        counts = Counter(step.verdict for step in report.steps)
        pieces.append(
            Text("  ").join(
                Text(
                    f"{counts[verdict]} {reader.words.verdict(verdict)}",
                    STYLES[verdict] if counts[verdict] else "bright_black",
                )
                for verdict in words.VERDICTS
            )
        )
    elif report.verdict == "measured":
        pieces.append(Text(_("(set one with --warn or --fail)"), "bright_black"))
    return flow(pieces, width)


def _next(report: Report, reader: Reader, width: int, *, single: bool) -> list[Text]:
    _ = reader.words.gettext
    pieces = []
    if report.seq:
        pieces.append(Text(_("report #{n}").format(n=report.seq), "bold"))
        pieces.append(Text(f"ots report show {report.seq}"))
        if not single:
            pieces.append(Text(f"ots report export {report.seq} --format html"))
    data = report.run.data
    if report.run.duration is not None:
        pieces.append(Text(duration(report.run.duration)))
    if data.received_bytes or data.sent_bytes:
        down, up = shown(float(data.received_bytes), "By"), shown(float(data.sent_bytes), "By")
        pieces.append(Text(f"▼ {down} ▲ {up}"))
    return flow(pieces, width)


def printed(lines: list[Text], view: View, width: int) -> str:
    """Styled lines as the text of a terminal: with colours or without, and without trailing spaces."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        color_system="standard" if view.colour else None,
        force_terminal=view.colour,
        no_color=not view.colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    for line in lines:
        line.rstrip()
        console.print(line, soft_wrap=True)
    return out.getvalue()
