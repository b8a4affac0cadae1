"""The HTML report's details of a step: circumstances, every figure, attempts, samples, log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ots.model.metric import Metric, Series
from ots.model.outcome import Verdict
from ots.model.report import Step
from ots.reports import facts, words
from ots.reports.path import is_of_a_hop
from ots.reports.plain import plain
from ots.reports.quantity import MISSING, duration, scale
from ots.reports.reading import Reader, numbers_of, stats_in_order

MOST_SAMPLES = 200
"""Samples of one series that the page lists; the JSON report has them all."""


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


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


def given(*pairs: tuple[str, object]) -> list[Fact]:
    return [Fact(name, plain(value)) for name, value in pairs if value not in (None, "", [], {})]


def detail_of(step: Step, reader: Reader) -> StepDetail:
    _ = reader.words.gettext
    method = facts.method(step.metrics)
    params = ", ".join(
        f"{facts.spaced(name)} {plain(value)}" for name, value in step.params.items() if value is not None
    )
    known = given(
        (_("Targets"), ", ".join(step.targets[:20]) + (" …" if len(step.targets) > 20 else "")),
        (_("Target lists"), ", ".join(f"@{name}" for name in step.target_lists)),
        (_("Parameters"), params),
        (_("Method"), ", ".join(facts.named(name, value, reader.words) for name, value in method.items())),
        (_("Began at"), f"{step.t:.1f} s"),
        (_("Took"), duration(step.duration)),
        (_("This machine meanwhile"), ", ".join(facts.texts(step.load, reader.words))),
    )
    listed = sorted(step.attempts, key=lambda attempt: attempt.outcome == "success")[:MOST_SAMPLES]
    return StepDetail(
        key=plain(step.key),
        probe=f"{plain(step.probe)} v{step.probe_version}",
        verdict=step.verdict,
        facts=known,
        figures=[
            _figures(metric, reader)
            for metric in reader.declared(step.metrics)
            if not is_of_a_hop(metric.labels)
        ],
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
    numbers = numbers_of(metric)
    centre = numbers.get("median", numbers.get("mean", next(iter(numbers.values()), 0.0)))
    fit = scale([centre, *numbers.values()], metric.unit, metric.key)
    stats = []
    for stat in stats_in_order(metric):
        value = metric.stats[stat]
        if stat in numbers:
            text = fit.number(numbers[stat])
        elif isinstance(value, float):
            text = f"{value:.2g}"
        else:
            text = reader.shown(value, metric.unit, metric.key)
        stats.append((reader.words.of(words.STATS, stat), text))
    low, high = metric.stats.get("ci95_low"), metric.stats.get("ci95_high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        stats.append((_("95 % interval"), f"{fit.number(low)}–{fit.number(high)}"))
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
