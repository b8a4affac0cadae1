"""Two runs held against each other: what changed, for better or worse, and what can't be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ots.model.metric import Better, Metric, Series, StatValue
from ots.model.outcome import Verdict
from ots.model.report import Report, Step
from ots.reports import definition
from ots.reports.definition import Mismatch
from ots.reports.reading import Reader, headline, is_numeric
from ots.stats import comparison, distribution, interval
from ots.stats.comparison import Finding, Test

Direction = Literal["better", "worse", "changed", "same", "unclear"]
"""`changed`: a clear difference of something that has no better or worse. `same`: no clear difference.
`unclear`: there are two values, but no way to tell whether their difference means something.
"""

_TESTED_AS_A_WHOLE = ("median", "value", "mean")


_Place = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's key and labels."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """One run's metric, the step it belongs to, and the observations behind it."""

    step: Step
    metric: Metric
    samples: list[float]


class Reference(msgspec.Struct, kw_only=True):
    """One of the two reports."""

    seq: int
    report_id: str
    start: str
    case: str
    case_version: int | None
    state: str
    verdict: Verdict


class Side(msgspec.Struct, kw_only=True):
    """One run's figure; `reason` says why there is no value. `ci95` is `[low, high]` or null."""

    value: StatValue
    n: int
    n_valid: int
    n_lost: int
    ci95: list[float] | None
    reason: str | None


class Change(msgspec.Struct, kw_only=True):
    """One figure in both runs. `difference` is b minus a in `unit`, `relative` the same as a share of a.

    Both are null where a value is missing, is no number, or (for `relative`) a is 0. `test`, `p` and
    `superiority` are of ots.stats.comparison; null where none could be made.
    """

    step: str
    metric: str
    labels: dict[str, str]
    stat: str
    unit: str
    better: Better
    headline: bool
    a: Side
    b: Side
    difference: float | None
    relative: float | None
    change: Direction
    test: Test | None
    p: float | None
    superiority: float | None


class Refusal(msgspec.Struct, kw_only=True):
    """A step, or a metric of it, that can't be compared: the facts that differ, or `only in` one run."""

    step: str
    metric: str | None
    labels: dict[str, str]
    reason: Literal["definition", "port", "only_in_a", "only_in_b", "labels"]
    facts: list[Mismatch]


class StepChange(msgspec.Struct, kw_only=True):
    """A step of both runs and its two verdicts."""

    step: str
    probe: str
    a: Verdict
    b: Verdict


class Difference(msgspec.Struct, kw_only=True):
    """The whole comparison. `circumstances` are other things that differ and that a reader should know."""

    a: Reference
    b: Reference
    circumstances: list[Mismatch]
    steps: list[StepChange]
    changes: list[Change]
    not_compared: list[Refusal]


def compare(first: Report, second: Report, reader: Reader) -> Difference:
    """Holds the second report against the first, step by step and figure by figure."""
    result = Difference(
        a=_reference(first),
        b=_reference(second),
        circumstances=definition.mismatches(_circumstances(first), _circumstances(second)),
        steps=[],
        changes=[],
        not_compared=[],
    )
    theirs = {step.key: step for step in second.steps}
    for step in first.steps:
        other = theirs.pop(step.key, None)
        if other is None:
            result.not_compared.append(_only(step.key, None, "only_in_a"))
            continue
        result.steps.append(StepChange(step=step.key, probe=other.probe, a=step.verdict, b=other.verdict))
        facts = definition.mismatches(definition.of_step(step), definition.of_step(other))
        if facts:
            refusal = Refusal(step=step.key, metric=None, labels={}, reason="definition", facts=facts)
            result.not_compared.append(refusal)
        else:
            _compare_step(step, other, reader, result)
    result.not_compared += [_only(key, None, "only_in_b") for key in theirs]
    return result


def _compare_step(step: Step, other: Step, reader: Reader, result: Difference) -> None:
    theirs = {_place(metric): metric for metric in other.metrics}
    ours, others = _observations(step), _observations(other)
    unmatched: list[Metric] = []
    for metric in reader.declared(step.metrics):
        place = _place(metric)
        twin = theirs.pop(place, None)
        if twin is None:
            unmatched.append(metric)
            continue
        facts = definition.mismatches(definition.of_metric(metric), definition.of_metric(twin))
        if facts:
            refusal = Refusal(
                step=step.key, metric=metric.key, labels=metric.labels, reason="definition", facts=facts
            )
            result.not_compared.append(refusal)
        elif not metric.key.endswith("_timestamp"):
            first = _Figure(step, metric, ours.get(place, []))
            result.changes += _changes(first, _Figure(other, twin, others.get(place, [])), reader)
    result.not_compared += _unmatched(step.key, unmatched, list(theirs.values()))


def _place(row: Metric | Series) -> _Place:
    return row.key, tuple(sorted(row.labels.items()))


def _observations(step: Step) -> dict[_Place, list[float]]:
    """The numbers behind the step's figures, as far as they are in the report."""
    return {
        _place(series): [float(value) for value in series.v if isinstance(value, int | float)]
        for series in step.series
        if is_numeric(series)
    }


def _unmatched(step: str, ours: Sequence[Metric], theirs: Sequence[Metric]) -> Iterator[Refusal]:
    """Metrics without a twin: in pairs where only the port is another, else each by itself."""
    waiting: dict[_Place, list[Metric]] = {}
    for metric in theirs:
        waiting.setdefault((metric.key, definition.without_ports(metric.labels)), []).append(metric)
    keys = {metric.key for metric in theirs}
    for metric in ours:
        alike = waiting.get((metric.key, definition.without_ports(metric.labels)))
        if not alike:
            yield _only(step, metric, "labels" if metric.key in keys else "only_in_a")
            continue
        facts = [definition.other_port(metric.labels, alike.pop(0).labels)]
        yield Refusal(step=step, metric=metric.key, labels=metric.labels, reason="port", facts=facts)
    for rest in waiting.values():
        for metric in rest:
            yield _only(step, metric, "only_in_b")


def _only(step: str, metric: Metric | None, reason: Literal["only_in_a", "only_in_b", "labels"]) -> Refusal:
    key, labels = (None, {}) if metric is None else (metric.key, metric.labels)
    return Refusal(step=step, metric=key, labels=labels, reason=reason, facts=[])


def _changes(first: _Figure, second: _Figure, reader: Reader) -> Iterator[Change]:
    """The metric's headline, p95 where both have it, and every statistic that either run judged."""
    metric, twin = first.metric, second.metric
    declared = reader.definition(metric.key)
    main = headline(metric, declared)[0]
    judged = [
        threshold.stat
        for step in (first.step, second.step)
        for threshold in step.thresholds
        if threshold.metric == metric.key
    ]
    tail = ["p95"] if metric.stats.get("p95") is not None and twin.stats.get("p95") is not None else []
    better: Better = declared.better if declared is not None else "neither"
    for stat in dict.fromkeys([main, *tail, *judged]):
        if stat in metric.stats or stat in twin.stats:
            yield _change(first, second, stat, better, is_main=stat == main)


def _change(first: _Figure, second: _Figure, stat: str, better: Better, *, is_main: bool) -> Change:
    a, b = _side(first, stat, is_main), _side(second, stat, is_main)
    finding = _finding(first, second, stat, a, b)
    before, after = _number(a.value), _number(b.value)
    difference = None if before is None or after is None else after - before
    return Change(
        step=first.step.key,
        metric=first.metric.key,
        labels=first.metric.labels,
        stat=stat,
        unit=first.metric.unit,
        better=better,
        headline=is_main,
        a=a,
        b=b,
        difference=difference,
        relative=difference / abs(before) if difference is not None and before else None,
        change=_direction(a, b, finding, better),
        test=finding.test,
        p=finding.p,
        superiority=finding.superiority,
    )


def _side(figure: _Figure, stat: str, is_main: bool) -> Side:
    metric = figure.metric
    value = metric.stats.get(stat)
    low, high = _number(metric.stats.get("ci95_low")), _number(metric.stats.get("ci95_high"))
    bounds = None if low is None or high is None or not is_main else (low, high)
    if not is_main and stat in distribution.PERCENTILES:
        bounds = interval.of_percentile(sorted(figure.samples), distribution.PERCENTILES[stat])
    return Side(
        value=value,
        n=metric.n,
        n_valid=metric.n_valid,
        n_lost=metric.n_lost,
        ci95=None if bounds is None else list(bounds),
        reason=None if value is not None else metric.nulls.get(f"stats.{stat}", "not_measured"),
    )


def _finding(first: _Figure, second: _Figure, stat: str, a: Side, b: Side) -> Finding:
    """By the rule of ots.stats.comparison: counts, else samples, else intervals."""
    before, after = _number(a.value), _number(b.value)
    if before is None or after is None:
        return comparison.CANT_TELL
    if first.metric.key.endswith("_ratio"):
        hits = comparison.hits_of(before, a.n, a.ci95), comparison.hits_of(after, b.n, b.ci95)
        if hits[0] is not None and hits[1] is not None:
            return comparison.of_ratios((hits[0], a.n), (hits[1], b.n))
    if first.metric.type in ("sample", "attempt", "series") and stat in _TESTED_AS_A_WHOLE:
        found = comparison.of_samples(first.samples, second.samples)
        if found.different is not None:
            return found
    return comparison.of_intervals(a.ci95, b.ci95)


def _direction(a: Side, b: Side, finding: Finding, better: Better) -> Direction:
    if a.value is None or b.value is None:
        return "unclear"
    before, after = _number(a.value), _number(b.value)
    if before is None or after is None:
        return "same" if a.value == b.value else "changed"
    if before == after and not finding.different:
        return "same"
    if finding.different is None:
        return "unclear"
    if not finding.different:
        return "same"
    if better == "neither":
        return "changed"
    grown = after > before if finding.superiority is None else finding.superiority > 0.5
    return "better" if grown == (better == "higher") else "worse"


def _number(value: StatValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _reference(report: Report) -> Reference:
    return Reference(
        seq=report.seq,
        report_id=report.report_id,
        start=report.run.start,
        case=report.case.id,
        case_version=report.case.version,
        state=report.run.state,
        verdict=report.verdict,
    )


def _circumstances(report: Report) -> dict[str, str]:
    """What doesn't forbid a comparison but may explain a change: case, machine, attachment."""
    case = report.case
    network = report.contexts[0].network if report.contexts else {}
    wifi = network.get("wifi")
    facts = {
        "case": case.id if case.version is None else f"{case.id} v{case.version} {case.sha256[:8]}",
        "state": report.run.state,
        "agent": report.agent.get("name") or report.agent.get("agent_id"),
        "ots_version": report.agent.get("version"),
        "interface": network.get("interface"),
        "gateway": network.get("gateway"),
        "link": network.get("type"),
        "wifi": wifi.get("ssid_hash") if isinstance(wifi, dict) else None,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}
