"""The HTML report's content: everything that stands on the page, in its order and in the reader's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from ots.model.metric import Metric, Series
from ots.model.outcome import Verdict
from ots.model.report import Judgement, Report, Step, ThresholdResult
from ots.reports import attachment, limit, words
from ots.reports.chart import draw, far_bounds
from ots.reports.panels import MOST_LINES, Axis, Panel, axes
from ots.reports.plain import plain
from ots.reports.quantity import MISSING, duration, scale, shown, span
from ots.reports.reading import Reader, flags_of, headline, headlines
from ots.reports.why import why

WIDE, NARROW = (1040, 190), (350, 170)
MOST_SAMPLES = 200
"""Samples of one series that the page lists; the JSON report has them all."""


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the result table."""

    name: str
    target: str
    limit: str
    value: str
    confidence: str
    verdict: Verdict
    validity: str
    note: str


@dataclass(frozen=True, slots=True)
class StepRows:
    """A step in the result table: its rows, or what to say instead of them."""

    key: str
    probe: str
    verdict: Verdict
    said: Sequence[str]
    remedy: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Chart:
    step: str
    title: str
    wide: Markup
    narrow: Markup
    legend: Sequence[tuple[str, str]]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """One metric with all its statistics, in one scale."""

    name: str
    labels: str
    unit: str
    n: str
    stats: Sequence[tuple[str, str]]
    note: str


@dataclass(frozen=True, slots=True)
class Samples:
    name: str
    unit: str
    rows: Sequence[tuple[str, str, str]]
    note: str


@dataclass(frozen=True, slots=True)
class StepDetail:
    key: str
    probe: str
    verdict: Verdict
    facts: Sequence[Fact]
    figures: Sequence[Figures]
    attempts: Sequence[tuple[str, str, str, str, str]]
    attempts_note: str
    samples: Sequence[Samples]
    log: Sequence[tuple[str, str, str]]
    artifacts: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not measured, and why."""

    where: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Definition:
    title: str
    key: str
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Page:
    language: str
    title: str
    subtitle: str
    verdict: Verdict
    why: str
    counts: Sequence[tuple[Verdict, int]]
    who: Sequence[Fact]
    when: Sequence[Fact]
    where: Sequence[Fact]
    steps: Sequence[StepRows]
    charts: Sequence[Sequence[Chart]]
    details: Sequence[StepDetail]
    gaps: Sequence[Gap]
    definitions: Sequence[Definition]
    versions: Sequence[Fact]


def page_of(report: Report, reader: Reader) -> Page:
    """Collects a report's page."""
    counts = Counter(step.verdict for step in report.steps)
    case = report.case
    name = plain(case.title.get(reader.words.language) or case.title.get("en") or case.id)
    version = "" if case.version is None else f" v{case.version}"
    return Page(
        language="zh-Hans" if reader.words.language == "zh" else reader.words.language,
        title=name,
        subtitle=plain(case.id) + version,
        verdict=report.verdict,
        why=why(report, reader),
        counts=[(verdict, counts[verdict]) for verdict in words.VERDICTS],
        who=_who(report, reader),
        when=_when(report, reader),
        where=_where(report, reader),
        steps=[_rows(step, reader) for step in report.steps],
        charts=[_charts(axis, reader) for axis in axes(report, reader)],
        details=[_detail(step, reader) for step in report.steps],
        gaps=_gaps(report, reader),
        definitions=_definitions(report, reader),
        versions=_versions(report, reader),
    )


def _given(*pairs: tuple[str, object]) -> list[Fact]:
    return [Fact(name, plain(value)) for name, value in pairs if value not in (None, "", [], {})]


def _who(report: Report, reader: Reader) -> list[Fact]:
    _ = reader.words.gettext
    job = report.job
    agent = report.agent
    return _given(
        (_("Job"), job.id),
        (_("Customer"), job.customer),
        (_("Site"), job.site),
        (_("Engineer"), job.engineer),
        (_("Purpose"), job.purpose),
        (_("Plan"), job.plan),
        (_("Notes"), "; ".join(job.notes)),
        (_("Agent"), agent.get("name") or agent.get("hostname") or agent.get("id")),
        (_("Tags"), ", ".join(f"{name}={value}" for name, value in report.tags.items())),
    )


def _when(report: Report, reader: Reader) -> list[Fact]:
    _ = reader.words.gettext
    run = report.run
    state = reader.words.of(words.STATES, run.state)
    if run.reason is not None:
        state += f" ({reader.reason(run.reason)})"
    data = run.data
    moved = f"▼ {shown(float(data.received_bytes), 'By')}  ▲ {shown(float(data.sent_bytes), 'By')}"
    capped = "" if data.limit_bytes is None else shown(float(data.limit_bytes), "By")
    precheck = run.precheck
    return _given(
        (_("Started"), instant(run.start)),
        (_("Ended"), None if run.end is None else instant(run.end)),
        (_("Took"), None if run.duration is None else duration(run.duration)),
        (_("Run"), state),
        (_("Cycles"), run.cycles if run.cycles > 1 else None),
        (_("Data"), moved if data.received_bytes or data.sent_bytes else None),
        (_("Data limit"), capped),
        (_("Precheck"), None if precheck is None else _precheck(precheck.error is None, report, reader)),
        (_("Clock"), ", ".join(_facts_of(run.clock))),
    )


def _precheck(passed: bool, report: Report, reader: Reader) -> str:
    precheck = report.run.precheck
    if precheck is None or passed or precheck.error is None:
        return reader.words.gettext("ok")
    return reader.error(precheck.error)


def instant(stamp: str) -> str:
    """`2025-03-01 08:15:30 UTC` from RFC 3339."""
    try:
        return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return plain(stamp)


def _where(report: Report, reader: Reader) -> list[Fact]:
    _ = reader.words.gettext
    context = attachment.of_report(report)
    if context is None:
        return []
    found = [Fact(name[:1].upper() + name[1:], value) for name, value in attachment.facts(context, _)]
    device = context.device
    machine = " · ".join(
        plain(device[name]) for name in ("hostname", "model", "os", "kernel", "machine") if device.get(name)
    )
    changed = len(report.contexts) - 1
    return found + _given(
        (_("Machine"), machine),
        (_("Load"), ", ".join(_facts_of(context.load))),
        (
            _("Attachment"),
            reader.words.ngettext("changed {n} time", "changed {n} times", changed).format(n=changed)
            if changed
            else None,
        ),
    )


def _facts_of(record: Mapping[str, Any]) -> list[str]:
    """A record's plain facts as `error 3 ms`: a unit suffix of the key becomes the unit."""
    found = []
    for name, value in record.items():
        if value is None or isinstance(value, Mapping | list):
            continue
        found.append(named(name, value))
    return found


def named(name: str, value: object) -> str:
    """`loop lag p99 0.4 ms` from `loop_lag_p99_seconds` and 0.0004."""
    units = {"_seconds": "s", "_ratio": "1", "_bytes": "By", "_bits_per_second": "bit/s"}
    suffix = next((suffix for suffix in units if name.endswith(suffix)), "")
    if suffix and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{_spaced(name.removesuffix(suffix))} {shown(float(value), units[suffix], name)}"
    if isinstance(value, float):
        value = f"{value:.4g}"
    return f"{_spaced(name)} {plain(value)}"


def _spaced(name: str) -> str:
    return plain(name).replace("_", " ")


def _rows(step: Step, reader: Reader) -> StepRows:
    _ = reader.words.gettext
    said = []
    remedy = ""
    if step.error is not None:
        said.append(reader.error(step.error))
        remedy = plain(_(step.error.remedy or ""))
    elif step.reason is not None and step.reason not in ("threshold", "attempts_failed"):
        said.append(reader.reason(step.reason))
    if step.during is not None:
        said.append(_("while {step} ran").format(step=plain(step.during)))
    judged = [
        _judged(threshold, judgement, step, reader)
        for threshold in step.thresholds
        for judgement in threshold.judgements
    ]
    return StepRows(
        key=plain(step.key),
        probe=plain(step.probe),
        verdict=step.verdict,
        said=said,
        remedy=remedy,
        rows=judged or [_measured(metric, step, reader) for metric in _chosen(step, reader)],
    )


def _chosen(step: Step, reader: Reader) -> list[Metric]:
    return headlines(reader.declared(step.metrics), reader.definitions)


def _judged(threshold: ThresholdResult, judgement: Judgement, step: Step, reader: Reader) -> Row:
    key, unit = threshold.metric, threshold.unit
    bound = limit.telling(threshold)
    near = None if bound is None else limit.number(bound[1], unit, key)
    _ = reader.words.gettext
    bounds: tuple[tuple[Verdict, str | None], ...] = (("warn", threshold.warn), ("fail", threshold.fail))
    limits = [
        f"{reader.words.verdict(verdict)} {limit.typeset(text)}"
        for verdict, text in bounds
        if text is not None
    ]
    confidence = [_("n = {n}").format(n=judgement.n)]
    if judgement.ci95 is not None:
        low, high = judgement.ci95
        confidence.append(_("95 %: {interval}").format(interval=span(low, high, unit, key)))
    return Row(
        name=f"{reader.title(key)} {reader.stat(threshold.stat)}".strip(),
        target=_target(judgement.labels, step, reader),
        limit=" · ".join(limits),
        value=shown(judgement.value, unit, key, limit=near),
        confidence=" · ".join(confidence),
        verdict=judgement.verdict,
        validity=_validity(step, reader),
        note="" if judgement.reason is None else reader.reason(judgement.reason),
    )


def _measured(metric: Metric, step: Step, reader: Reader) -> Row:
    _ = reader.words.gettext
    stat, value = headline(metric, reader.definition(metric.key))
    confidence = [
        _("n = {n}").format(
            n=metric.n_valid if metric.n_valid == metric.n else f"{metric.n_valid}/{metric.n}"
        )
    ]
    low, high = metric.stats.get("ci95_low"), metric.stats.get("ci95_high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        confidence.append(_("95 %: {interval}").format(interval=span(low, high, metric.unit, metric.key)))
    return Row(
        name=f"{reader.title(metric.key)} {reader.stat(stat)}".strip(),
        target=_target(metric.labels, step, reader),
        limit="",
        value=shown(value, metric.unit, metric.key),
        confidence=" · ".join(confidence),
        verdict="measured",
        validity=_validity(step, reader),
        note="",
    )


def _target(labels: Mapping[str, str], step: Step, reader: Reader) -> str:
    if labels:
        return reader.labels(labels)
    return ", ".join(plain(target) for target in step.targets[:3]) + (" …" if len(step.targets) > 3 else "")


def _validity(step: Step, reader: Reader) -> str:
    """How many attempts count, and what qualifies them."""
    _ = reader.words.gettext
    if step.validity is not None:
        return plain(_(step.validity))
    valid = sum(attempt.outcome in ("success", "failure") for attempt in step.attempts)
    said = [_("{n}/{total} valid").format(n=valid, total=len(step.attempts))] if step.attempts else []
    return " · ".join([*said, *(reader.words.of(words.FLAGS, flag) for flag in flags_of(step))])


def _charts(axis: Axis, reader: Reader) -> list[Chart]:
    return [_chart(panel, axis, reader) for panel in axis.panels]


def _chart(panel: Panel, axis: Axis, reader: Reader) -> Chart:
    _ = reader.words.gettext
    label = _("{metric} over time, step {step}").format(metric=panel.title, step=panel.step)
    wide, narrow = (
        draw(panel, axis, width=width, height=height, label=label) for width, height in (WIDE, NARROW)
    )
    legend = [(f"line-{position}", line.name) for position, line in enumerate(panel.lines)]
    far = far_bounds(panel)
    legend += [
        (
            f"bound-{bound.verdict}",
            f"{_(words.VERDICTS['fail' if bound.verdict == 'fail' else 'warn'])} {bound.text}",
        )
        for bound in panel.bounds
        if bound.text not in far
    ]
    if panel.losses:
        lost = reader.words.ngettext("{n} lost", "{n} lost", len(panel.losses)).format(n=len(panel.losses))
        legend.append(("lost", lost))
    notes = []
    if far:
        notes.append(_("outside of the chart: {limits}").format(limits=", ".join(dict.fromkeys(far))))
    if panel.left_out:
        notes.append(
            _("the {shown} worst of {total} series").format(
                shown=MOST_LINES, total=MOST_LINES + panel.left_out
            )
        )
    if any(line.condensed for line in panel.lines):
        notes.append(_("condensed: the smallest and the largest sample of each stretch"))
    return Chart(panel.step, panel.title, wide, narrow, legend, notes)


def _detail(step: Step, reader: Reader) -> StepDetail:
    _ = reader.words.gettext
    method: dict[str, object] = {}
    for metric in step.metrics:
        method.update({name: value for name, value in metric.method.items() if value is not None})
    params = ", ".join(
        f"{_spaced(name)} {plain(value)}" for name, value in step.params.items() if value is not None
    )
    facts = _given(
        (_("Targets"), ", ".join(step.targets[:20]) + (" …" if len(step.targets) > 20 else "")),
        (_("Parameters"), params),
        (_("Method"), ", ".join(named(name, value) for name, value in method.items())),
        (_("Began at"), f"{step.t:.1f} s"),
        (_("Took"), duration(step.duration)),
        (_("This machine meanwhile"), ", ".join(_facts_of(step.load))),
    )
    listed = sorted(step.attempts, key=lambda attempt: attempt.outcome == "success")[:MOST_SAMPLES]
    return StepDetail(
        key=plain(step.key),
        probe=f"{plain(step.probe)} v{step.probe_version}",
        verdict=step.verdict,
        facts=facts,
        figures=[_figures(metric, reader) for metric in reader.declared(step.metrics)],
        attempts=[
            (
                str(attempt.index + 1),
                plain(attempt.target),
                f"{attempt.t:.3f} s",
                duration(attempt.duration),
                reader.words.of(words.OUTCOMES, attempt.outcome)
                + ("" if attempt.error is None else f": {reader.error(attempt.error)}"),
            )
            for attempt in sorted(listed, key=lambda attempt: attempt.index)
        ],
        attempts_note=_capped(len(listed), len(step.attempts), reader),
        samples=[_samples(series, step, reader) for series in reader.in_order(step.series)[:20]],
        log=[(f"{line.t:.3f} s", plain(line.level), plain(line.text)) for line in step.log[:MOST_SAMPLES]],
        artifacts=[
            (
                plain(artifact.name),
                f"{plain(artifact.media_type)}, {artifact.bytes} B",
                plain(artifact.sha256),
            )
            for artifact in step.artifacts
        ],
    )


def _capped(listed: int, total: int, reader: Reader) -> str:
    if listed == total:
        return ""
    text = reader.words.gettext("{listed} of {total} listed; the JSON report has them all")
    return text.format(listed=listed, total=total)


def _figures(metric: Metric, reader: Reader) -> Figures:
    _ = reader.words.gettext
    numbers = {
        stat: float(value)
        for stat, value in metric.stats.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    centre = numbers.get("median", numbers.get("mean", next(iter(numbers.values()), 0.0)))
    fit = scale([centre, *numbers.values()], metric.unit, metric.key)
    stats = []
    for stat, value in metric.stats.items():
        if stat in ("ci95_low", "ci95_high"):
            continue
        text = fit.number(numbers[stat]) if stat in numbers else shown(value, metric.unit, metric.key)
        stats.append((reader.words.of(words.STATS, stat), text))
    if "ci95_low" in numbers and "ci95_high" in numbers:
        low, high = fit.number(numbers["ci95_low"]), fit.number(numbers["ci95_high"])
        stats.append((_("95 % interval"), f"{low}–{high}"))
    said = [reader.words.of(words.FLAGS, flag) for flag in metric.quality_flags]
    said += [f"{MISSING} {reader.reason(reason)}" for reason in dict.fromkeys(metric.nulls.values())]
    n = str(metric.n) if metric.n_valid == metric.n else f"{metric.n_valid}/{metric.n}"
    if metric.n_lost:
        n += " " + _("({n} lost)").format(n=metric.n_lost)
    return Figures(
        name=reader.title(metric.key),
        labels=reader.labels(metric.labels),
        unit=fit.unit if numbers else "",
        n=n,
        stats=stats,
        note=" · ".join(said),
    )


def _samples(series: Series, step: Step, reader: Reader) -> Samples:
    definition = reader.definition(series.key)
    unit = next((metric.unit for metric in step.metrics if metric.key == series.key), None)
    if unit is None:
        unit = "1" if definition is None else definition.unit
    present = [
        float(value) for value in series.v if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    fit = scale(sorted(present)[len(present) // 2 :], unit, series.key)
    rows = []
    for position, (t, value) in enumerate(zip(series.t[:MOST_SAMPLES], series.v[:MOST_SAMPLES], strict=True)):
        if value is None:
            rows.append((f"{t:.3f}", MISSING, reader.reason(series.nulls.get(str(position), "not_measured"))))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            rows.append((f"{t:.3f}", fit.number(value), ""))
        else:
            rows.append((f"{t:.3f}", plain(value), ""))
    labels = reader.labels(series.labels)
    return Samples(
        name=f"{reader.title(series.key)} [{labels}]" if labels else reader.title(series.key),
        unit=fit.unit,
        rows=rows,
        note=_capped(len(rows), len(series.v), reader),
    )


def _gaps(report: Report, reader: Reader) -> list[Gap]:
    """Skipped steps, missing statistics and unknown circumstances, each with its reason."""
    _ = reader.words.gettext
    gaps: list[Gap] = []
    for step in report.steps:
        if step.verdict == "skipped":
            reason = (
                reader.error(step.error)
                if step.error is not None
                else reader.reason(step.reason or "not_run")
            )
            gaps.append(Gap(plain(step.key), _("the whole step"), reason))
        for metric in step.metrics:
            for name, why_not in metric.nulls.items():
                stat = reader.words.of(words.STATS, name.removeprefix("stats."))
                what = f"{reader.title(metric.key)} {stat}"
                gaps.append(Gap(plain(step.key), what, reader.reason(why_not)))
    for context in report.contexts[:1]:
        for name, why_not in context.nulls.items():
            gaps.append(Gap(_("circumstances"), _spaced(name), reader.reason(why_not)))
    return list(dict.fromkeys(gaps))


def _definitions(report: Report, reader: Reader) -> list[Definition]:
    used = dict.fromkeys(metric.key for step in report.steps for metric in reader.declared(step.metrics))
    found = []
    for key in used:
        definition = reader.definition(key)
        if definition is not None:
            text = plain(reader.words.gettext(definition.definition))
            found.append(Definition(reader.title(key), plain(key), text, plain(definition.source)))
    return found


def _versions(report: Report, reader: Reader) -> list[Fact]:
    _ = reader.words.gettext
    probes = dict.fromkeys(f"{step.probe} v{step.probe_version}" for step in report.steps)
    return _given(
        (_("Report"), f"{report.report_id}, " + _("revision {n}").format(n=report.revision)),
        (_("Run"), report.run.run_id),
        (_("Format"), f"{report.schema.name} {report.schema.version}"),
        (_("Agent"), ", ".join(_facts_of(report.agent))),
        (_("Probes"), ", ".join(probes)),
        (_("Case"), f"{report.case.id} · SHA-256 {report.case.sha256}"),
    )
