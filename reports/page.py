"""The HTML report's content: everything that stands on the page, in its order and in the reader's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ots.model.metric import Metric
from ots.model.outcome import Verdict
from ots.model.report import Job, Report
from ots.reports import attachment, facts, words
from ots.reports.origin import origin
from ots.reports.page_charts import Chart, charts_of
from ots.reports.page_details import Fact, StepDetail, detail_of, given
from ots.reports.page_results import StepRows, rows_of
from ots.reports.panels import axes
from ots.reports.path import PathTable, is_of_a_hop, paths_of
from ots.reports.plain import plain
from ots.reports.quantity import duration, shown
from ots.reports.reading import Reader
from ots.reports.waterfall import PageLoads, legend, page_loads
from ots.reports.why import why

_CLOCK = ("offset_seconds", "error_bound_seconds", "step_seconds")
_LOAD = ("cpu_ratio", "load_1m", "memory_available_bytes")
_DEVICE = ("hostname", "manufacturer", "model", "os")


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
    paths: Sequence[PathTable]
    charts: Sequence[Sequence[Chart]]
    page_loads: Sequence[PageLoads]
    phases: Sequence[tuple[str, str]]
    details: Sequence[StepDetail]
    gaps: Sequence[Gap]
    definitions: Sequence[Definition]
    versions: Sequence[Fact]


def page_of(report: Report, reader: Reader, artifacts: Mapping[str, bytes]) -> Page:
    """Collects a report's page; `artifacts` are the files beside it that are at hand."""
    counts = Counter(step.verdict for step in report.steps)
    case = report.case
    name = plain(case.title.get(reader.words.language) or case.title.get("en") or case.id)
    version = "" if case.version is None else f" v{case.version}"
    return Page(
        language="zh-Hans" if reader.words.language == "zh" else reader.words.language,
        title=name,
        subtitle=" · ".join([plain(case.id) + version, *origin(case, reader)]),
        verdict=report.verdict,
        why=why(report, reader),
        counts=[(verdict, counts[verdict]) for verdict in words.VERDICTS],
        who=_who(report, reader),
        when=_when(report, reader),
        where=_where(report, reader),
        steps=[rows_of(step, reader) for step in report.steps],
        paths=[table for step in report.steps for table in paths_of(step, reader)],
        charts=[charts_of(axis, reader) for axis in axes(report, reader)],
        page_loads=page_loads(report, artifacts, reader),
        phases=legend(reader),
        details=[detail_of(step, reader) for step in report.steps],
        gaps=_gaps(report, reader),
        definitions=_definitions(report, reader),
        versions=_versions(report, reader),
    )


def _who(report: Report, reader: Reader) -> list[Fact]:
    _ = reader.words.gettext
    job = report.job
    agent = report.agent
    return given(
        (_("Job"), job.id),
        (_("Customer"), job.customer),
        (_("Site"), job.site),
        (_("Engineer"), job.engineer),
        (_("Purpose"), job.purpose),
        (_("Plan"), job.plan),
        (_("Subscribed"), _subscribed(job)),
        (_("Notes"), "; ".join(job.notes)),
        (_("Agent"), agent.get("name") or str(agent.get("agent_id") or "")[:8]),
        (_("Tags"), ", ".join(f"{name}={value}" for name, value in report.tags.items())),
    )


def _subscribed(job: Job) -> str:
    """`▼ 100 Mbit/s  ▲ 20 Mbit/s`, as far as somebody said."""
    stated = (("▼", job.subscribed_down_bits_per_second), ("▲", job.subscribed_up_bits_per_second))
    return "  ".join(f"{mark} {shown(rate, 'bit/s')}" for mark, rate in stated if rate is not None)


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
    return given(
        (_("Started"), instant(run.start)),
        (_("Ended"), None if run.end is None else instant(run.end)),
        (_("Took"), None if run.duration is None else duration(run.duration)),
        (_("Run"), state),
        (_("Cycles"), run.cycles if run.cycles > 1 else None),
        (_("Data"), moved if data.received_bytes or data.sent_bytes else None),
        (_("Data limit"), capped),
        (_("Precheck"), None if precheck is None else _precheck(precheck.error is None, report, reader)),
        (_("Clock"), _clock(run.clock, reader)),
    )


def _precheck(passed: bool, report: Report, reader: Reader) -> str:
    precheck = report.run.precheck
    if precheck is None or passed or precheck.error is None:
        return reader.words.gettext("ok")
    return reader.error(precheck.error)


def _clock(clock: Mapping[str, Any], reader: Reader) -> str:
    """Who keeps the clock, or that nobody does; how far off it may be and whether it was stepped."""
    unkept = clock.get("source") == "none"
    kept = reader.words.gettext("not synchronised") if unkept else _chosen(clock, ("source",), reader)
    return ", ".join(filter(None, (kept, _chosen(clock, _CLOCK, reader))))


def _chosen(record: Mapping[str, Any], names: Sequence[str], reader: Reader) -> str:
    return ", ".join(facts.texts({name: record.get(name) for name in names}, reader.words))


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
    machine = " · ".join(plain(device[name]) for name in _DEVICE if device.get(name))
    changed = len(report.contexts) - 1
    return found + given(
        (_("Machine"), machine),
        (_("Load"), _chosen(context.load, _LOAD, reader)),
        (
            _("Attachment"),
            reader.words.ngettext("changed {n} time", "changed {n} times", changed).format(n=changed)
            if changed
            else None,
        ),
    )


def _gaps(report: Report, reader: Reader) -> list[Gap]:
    """Skipped steps, missing statistics and unknown circumstances, each with its reason."""
    _ = reader.words.gettext
    gaps: list[Gap] = []
    if report.run.state != "completed":
        reason = reader.reason(report.run.reason or "interrupted")
        gaps.append(Gap(_("Run"), _("everything after it was cut short"), reason))
    for step in report.steps:
        if step.verdict == "skipped":
            reason = (
                reader.error(step.error)
                if step.error is not None
                else reader.reason(step.reason or "not_run")
            )
            gaps.append(Gap(plain(step.key), _("the whole step"), reason))
        gaps += [
            Gap(plain(step.key), what, reader.reason(why_not))
            for why_not, what in _missing(step.metrics, reader).items()
        ]
    for context in report.contexts[:1]:
        for name, why_not in context.nulls.items():
            gaps.append(Gap(_("circumstances"), facts.spaced(name), reader.reason(why_not)))
    return list(dict.fromkeys(gaps))


def _missing(metrics: Sequence[Metric], reader: Reader) -> dict[str, str]:
    """By reason, what figures lack: `Round-trip time: p95, p99; Set-up time: p95`."""
    lacking: dict[str, dict[str, dict[str, None]]] = {}
    for metric in metrics:
        for name, why_not in {} if is_of_a_hop(metric.labels) else metric.nulls.items():
            stat = reader.stat(name.removeprefix("stats."))
            lacking.setdefault(why_not, {}).setdefault(reader.title(metric.key), {})[stat] = None
    return {
        why_not: "; ".join(
            f"{title}: {named}" if (named := ", ".join(filter(None, stats))) else title
            for title, stats in titles.items()
        )
        for why_not, titles in lacking.items()
    }


def _definitions(report: Report, reader: Reader) -> list[Definition]:
    used = dict.fromkeys(metric.key for step in report.steps for metric in reader.declared(step.metrics))
    found = []
    for key in used:
        definition = reader.definition(key)
        if definition is not None:
            text = plain(reader.words.gettext(definition.definition))
            found.append(Definition(reader.title(key), plain(key), text, plain(definition.source)))
    return found


def _licence(report: Report, reader: Reader) -> str | None:
    """The licence under which the run began, and how that stood at start and end."""
    licence = report.agent.get("licence")
    if not isinstance(licence, dict) or not licence.get("tier"):
        return None
    states = [licence.get("state_at_start"), licence.get("state_at_end")]
    told = [reader.words.of(words.LICENCE_STATES, str(state)) for state in dict.fromkeys(states) if state]
    number = [f"{licence['serial']} ({plain(licence.get('licence_id'))})"] if licence.get("serial") else []
    return ", ".join([plain(licence["tier"]), *number, " → ".join(told)]).removesuffix(", ")


def _versions(report: Report, reader: Reader) -> list[Fact]:
    _ = reader.words.gettext
    context = attachment.of_report(report)
    probes = dict.fromkeys(f"{step.probe} v{step.probe_version}" for step in report.steps)
    return given(
        (_("Report"), f"{report.report_id}, " + _("revision {n}").format(n=report.revision)),
        (_("Run"), report.run.run_id),
        (_("Format"), f"{report.schema.name} {report.schema.version}"),
        (_("Agent"), ", ".join(facts.texts(report.agent, reader.words))),
        (_("Licence"), _licence(report, reader)),
        (_("Probes"), ", ".join(probes)),
        (_("Machine"), ", ".join(facts.texts(context.device if context is not None else {}, reader.words))),
        (_("Case"), f"{report.case.id} · SHA-256 {report.case.sha256}"),
    )
