"""Several runs as one table of figures: pooled ratios, medians of runs, each with n and its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ots.model.metric import Better, Metric
from ots.model.report import Report, Step
from ots.reports import definition
from ots.reports.definition import Definition, Mismatch
from ots.reports.reading import Reader, headline
from ots.stats import comparison, distribution, interval

SUCCESS = "attempt_success_ratio"
"""The key of the row that every step with attempts has: succeeded among the valid ones."""

Method = Literal["pooled", "median_of_runs"]


class Row(msgspec.Struct, kw_only=True):
    """One figure over all runs, in `unit`.

    `pooled`: all hits over all trials (`hits` of `n`), with the Wilson interval. `median_of_runs`: the median
    of each run's `stat`, with the order-statistic interval, null below six runs. `min` and `max` are of the
    runs' values. `missing` runs had the figure but no value; `n`, `n_valid` and `n_lost` are sums over all.
    """

    step: str
    metric: str
    labels: dict[str, str]
    stat: str
    unit: str
    better: Better
    method: Method
    runs: int
    missing: int
    hits: int | None
    n: int
    n_valid: int
    n_lost: int
    value: float
    ci95: list[float] | None
    min: float
    max: float


class Mixed(msgspec.Struct, kw_only=True):
    """A figure that was not combined, for its definitions differ between these reports (by number)."""

    step: str
    metric: str
    labels: dict[str, str]
    first: int
    second: int
    facts: list[Mismatch]


class Combination(msgspec.Struct, kw_only=True):
    """The table. `reports` are the numbers of the runs in it, the oldest first."""

    reports: list[int]
    first_start: str | None
    last_start: str | None
    rows: list[Row]
    mixed: list[Mixed]


@dataclass(slots=True)
class _Gathered:
    """One figure's values so far. `counts` has (hits, n) of each run, None where a run's was not counted."""

    definition: Definition
    seq: int
    unit: str
    stat: str
    values: list[float] = field(default_factory=list)
    counts: list[tuple[int, int] | None] = field(default_factory=list)
    missing: int = 0
    n: int = 0
    n_valid: int = 0
    n_lost: int = 0
    mixed: Mixed | None = None


_Place = tuple[str, str, tuple[tuple[str, str], ...]]


class Combiner:
    """Takes reports one by one, so that ten thousand need no more memory than their figures."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._found: dict[_Place, _Gathered] = {}
        self._runs: list[tuple[str, int]] = []

    def add(self, report: Report) -> None:
        """Takes one report's figures."""
        self._runs.append((report.run.start, report.seq))
        for step in report.steps:
            shared = definition.of_step(step)
            self._add_success(step, shared, report.seq)
            for metric in self._reader.declared(step.metrics):
                if not metric.key.endswith("_timestamp"):
                    self._add(step, metric, {**shared, **definition.of_metric(metric)}, report.seq)

    def result(self) -> Combination:
        """The table over everything that was taken."""
        runs = sorted(self._runs)
        rows = [
            self._row(place, found)
            for place, found in self._found.items()
            if found.mixed is None and found.values
        ]
        return Combination(
            reports=[seq for _start, seq in runs],
            first_start=runs[0][0] if runs else None,
            last_start=runs[-1][0] if runs else None,
            rows=rows,
            mixed=[found.mixed for found in self._found.values() if found.mixed is not None],
        )

    def _add_success(self, step: Step, shared: Definition, seq: int) -> None:
        outcomes = [attempt.outcome for attempt in step.attempts]
        hits, n = outcomes.count("success"), outcomes.count("success") + outcomes.count("failure")
        if not n:
            return
        found = self._gathered((step.key, SUCCESS, ()), shared, seq, "1", "value")
        found.values.append(hits / n)
        found.counts.append((hits, n))
        found.n += n
        found.n_valid += n

    def _add(self, step: Step, metric: Metric, facts: Definition, seq: int) -> None:
        declared = self._reader.definition(metric.key)
        stat = declared.stats[0] if declared is not None else headline(metric, None)[0]
        place = (step.key, metric.key, tuple(sorted(metric.labels.items())))
        found = self._gathered(place, facts, seq, metric.unit, stat)
        value = metric.stats.get(found.stat)
        found.n += metric.n
        found.n_valid += metric.n_valid
        found.n_lost += metric.n_lost
        if isinstance(value, bool) or not isinstance(value, int | float):
            found.missing += 1
            return
        found.values.append(float(value))
        found.counts.append(_count(metric, float(value)))

    def _gathered(self, place: _Place, facts: Definition, seq: int, unit: str, stat: str) -> _Gathered:
        found = self._found.setdefault(place, _Gathered(facts, seq, unit, stat))
        differing = definition.mismatches(found.definition, facts)
        if differing and found.mixed is None:
            found.mixed = Mixed(
                step=place[0],
                metric=place[1],
                labels=dict(place[2]),
                first=found.seq,
                second=seq,
                facts=differing,
            )
        return found

    def _row(self, place: _Place, found: _Gathered) -> Row:
        declared = self._reader.definition(place[1])
        ordered = sorted(found.values)
        counted = [count for count in found.counts if count is not None]
        hits = n = None
        method: Method = "median_of_runs"
        value, bounds = distribution.median(ordered), interval.of_percentile(ordered, 0.5)
        if len(counted) == len(ordered) and place[1].endswith("_ratio"):
            hits, n = sum(count[0] for count in counted), sum(count[1] for count in counted)
            method, value, bounds = "pooled", hits / n, interval.wilson(hits, n)
        return Row(
            step=place[0],
            metric=place[1],
            labels=dict(place[2]),
            stat=found.stat,
            unit=found.unit,
            better=declared.better if declared is not None else _known_better(place[1]),
            method=method,
            runs=len(ordered),
            missing=found.missing,
            hits=hits,
            n=found.n if n is None else n,
            n_valid=found.n_valid,
            n_lost=found.n_lost,
            value=value,
            ci95=None if bounds is None else list(bounds),
            min=ordered[0],
            max=ordered[-1],
        )


def _known_better(key: str) -> Better:
    return "higher" if key == SUCCESS else "neither"


def _count(metric: Metric, value: float) -> tuple[int, int] | None:
    """The counted hits and trials of a ratio; None of anything else."""
    stats: Mapping[str, object] = metric.stats
    low, high = stats.get("ci95_low"), stats.get("ci95_high")
    bounds = (
        (float(low), float(high)) if isinstance(low, int | float) and isinstance(high, int | float) else None
    )
    hits = comparison.hits_of(value, metric.n, bounds)
    return None if hits is None else (hits, metric.n)
