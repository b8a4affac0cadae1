"""Markdown (GitHub's dialect) for tickets and chats: verdict, limits, steps, and what was not measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ots.model.report import Report, Step, ThresholdResult
from ots.reports import attachment, limit, words
from ots.reports.format import Format, View
from ots.reports.origin import origin
from ots.reports.path import is_of_a_hop, paths_of
from ots.reports.plain import plain
from ots.reports.quantity import MISSING, duration, span
from ots.reports.reading import Reader, decisive_judgement
from ots.reports.why import why

FORMAT = Format("markdown", "md", "text/markdown; charset=utf-8")

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_SPECIAL = re.compile(r"[\\`*_\[\]|~#!]")


def render(report: Report, view: View) -> str:
    """The whole document."""
    reader = Reader(view)
    _ = reader.words.gettext
    blocks = [_headline(report, reader), _facts(report, reader)]
    limits = [row for step in report.steps for each in step.thresholds for row in _limit(step, each, reader)]
    if limits:
        head = [_("Step"), _("Limit"), _("Measured"), _("95 %"), "n", _("Verdict")]
        blocks += [f"## {_('Limits')}", _table(head, limits)]
    if report.steps:
        rows = [_step(step, report, reader) for step in report.steps]
        head = ["", _("Step"), _("Probe"), _("Targets"), _("Result")]
        blocks += [f"## {_('Steps')}", _table(head, rows)]
    for step in report.steps:
        for path in paths_of(step, reader):
            blocks.append(f"## {_('Path')} {escaped(path.step)}: {escaped(path.target)}")
            blocks.append(_table([escaped(name) for name in path.head], [row.cells for row in path.rows]))
            blocks += [escaped(note) for note in path.notes]
    missing = _missing(report, reader)
    blocks.append(f"## {_('What was not measured')}")
    blocks.append("\n".join(f"- {item}" for item in missing) if missing else _("Nothing was left out."))
    return "\n\n".join(blocks) + "\n"


def escaped(text: object) -> str:
    """Text from outside that Markdown and HTML show as it is, on one line, also within a table."""
    safe = _SPECIAL.sub(lambda found: "\\" + found[0], plain(text))
    return "".join(_ENTITIES.get(char, char) for char in safe)


def _headline(report: Report, reader: Reader) -> str:
    case = report.case
    title = case.title.get(reader.words.language) or case.title.get("en") or case.id
    verdict = reader.words.verdict(report.verdict)
    counts = Counter(step.verdict for step in report.steps)
    told = " · ".join(f"{counts[name]} {reader.words.verdict(name)}" for name in words.VERDICTS)
    return f"# {escaped(title)}: {verdict}\n\n**{escaped(why(report, reader))}**\n\n{told}"


def _facts(report: Report, reader: Reader) -> str:
    _ = reader.words.gettext
    run = report.run
    version = "" if report.case.version is None else f" v{report.case.version}"
    facts = [
        (_("report #{n}").format(n=report.seq), report.report_id),
        (_("Case"), ", ".join([f"{report.case.id}{version}", *origin(report.case, reader)])),
        (_("Began"), run.start),
        (_("Took"), MISSING if run.duration is None else duration(run.duration)),
    ]
    job = report.job
    facts += [
        (name, value)
        for name, value in ((_("Job"), job.id), (_("Customer"), job.customer), (_("Site"), job.site))
        if value
    ]
    context = attachment.of_report(report)
    facts += [] if context is None else attachment.facts(context, _)
    return "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in facts)


def _limit(step: Step, threshold: ThresholdResult, reader: Reader) -> Iterator[list[str]]:
    """One row for each limit; of several label sets the one that decided."""
    _ = reader.words.gettext
    decisive = decisive_judgement(threshold)
    name = f"{reader.title(threshold.metric)} {reader.stat(threshold.stat)}".rstrip()
    if decisive is not None and decisive.labels and len(step.targets) > 1:
        name += f" [{reader.labels(decisive.labels)}]"
    bounds = "; ".join(
        limit.required(expression, reader.words.verdict(side), _)
        for side, expression in limit.both(threshold)
    )
    near = limit.telling(threshold)
    bound = None if near is None else limit.number(near[1], threshold.unit, threshold.metric)
    value = reader.shown(threshold.value, threshold.unit, threshold.metric, limit=bound)
    if threshold.value is None and threshold.reason is not None:
        value = f"{MISSING} ({reader.reason(threshold.reason)})"
    ci95 = None if decisive is None else decisive.ci95
    interval = span(ci95[0], ci95[1], threshold.unit, threshold.metric) if ci95 else ""
    count = "" if decisive is None else str(decisive.n)
    mark = f"{words.MARKS[threshold.verdict]} {reader.words.verdict(threshold.verdict)}"
    yield [step.key, f"{name}: {bounds}", value, interval, count, mark]


def _step(step: Step, report: Report, reader: Reader) -> list[str]:
    said = "; ".join(fragment.text for fragment in reader.summary(step, report))
    targets = ", ".join(step.targets[:3]) + (" …" if len(step.targets) > 3 else "")
    return [words.MARKS[step.verdict], step.key, step.probe, targets, said]


def _missing(report: Report, reader: Reader) -> list[str]:
    """Steps without a valid attempt, and metrics without a single figure, each with its reason."""
    _ = reader.words.gettext
    told = []
    if report.run.state != "completed":
        reason = reader.reason(report.run.reason or "interrupted")
        told.append(escaped(_("the run was cut short: {reason}").format(reason=reason)))
    for step in report.steps:
        if step.verdict in ("skipped", "error") or step.outcome in ("skipped", "invalid"):
            reasons = "; ".join(fragment.text for fragment in reader.summary(step, report))
            told.append(f"{escaped(step.key)}: {escaped(reasons) or reader.words.verdict(step.verdict)}")
            continue
        for metric in reader.declared(step.metrics):
            if is_of_a_hop(metric.labels):
                continue
            if metric.stats and all(value is None for value in metric.stats.values()):
                reason = next(iter(metric.nulls.values()), "not_measured")
                name = f"{step.key}: {reader.title(metric.key)}"
                told.append(_("{what}: {detail}").format(what=escaped(name), detail=reader.reason(reason)))
    return told


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
