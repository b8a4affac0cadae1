"""The HTML report's result table: a step, and under it a row for each limit or headline figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ots.model.metric import Metric
from ots.model.outcome import Verdict
from ots.model.report import Judgement, Step, ThresholdResult
from ots.reports import limit, words
from ots.reports.plain import plain
from ots.reports.quantity import span
from ots.reports.reading import Reader, flags_of, headline, headlines, loaded_by


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


def rows_of(step: Step, reader: Reader) -> StepRows:
    _ = reader.words.gettext
    said = []
    remedy = ""
    if step.error is not None:
        said.append(reader.error(step.error))
        remedy = plain(_(step.error.remedy or ""))
    elif step.reason is not None and step.reason not in ("threshold", "attempts_failed"):
        said.append(reader.reason(step.reason))
    companion = loaded_by(step)
    if companion is not None:
        said.append(_("while {step} ran").format(step=plain(companion)))
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
    limits = [
        limit.required(text, reader.words.verdict(verdict), _) for verdict, text in limit.both(threshold)
    ]
    confidence = [_("n = {n}").format(n=judgement.n)]
    if judgement.ci95 is not None:
        low, high = judgement.ci95
        confidence.append(_("95 %: {interval}").format(interval=span(low, high, unit, key)))
    return Row(
        name=f"{reader.title(key)} {reader.stat(threshold.stat)}".strip(),
        target=_target(judgement.labels, step, reader),
        limit="\n".join(limits),
        value=reader.shown(judgement.value, unit, key, limit=near),
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
        value=reader.shown(value, metric.unit, metric.key),
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
    valid = sum(attempt.outcome in ("success", "failure") for attempt in step.attempts)
    said = [_("{n}/{total} valid").format(n=valid, total=len(step.attempts))] if step.attempts else []
    graded = [] if step.validity is None else [reader.validity(step, step.validity)]
    return " · ".join([*said, *graded, *(reader.words.of(words.FLAGS, flag) for flag in flags_of(step))])
