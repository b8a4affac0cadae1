"""Which charts a report gets: one panel for a step's series, panels that belong together on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ots.model.metric import Series
from ots.model.report import Report, Step
from ots.reports import limit
from ots.reports.path import is_of_a_hop
from ots.reports.plain import plain
from ots.reports.reading import Reader, is_numeric

FEWEST = 3
"""Samples below which a chart says no more than the table."""

MOST_LINES = 6
_MOST_POINTS = 600
_SMALLEST_SHARE = 1 / 6
"""A step joins an axis as long as the shortest step on it keeps this share of it."""

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series: seconds since the run's start and values in base units; None where a sample was lost."""

    name: str
    points: Sequence[Point]
    condensed: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit as a level in the chart; `verdict` is what crossing it means."""

    verdict: Literal["warn", "fail"]
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    step: str
    title: str
    key: str
    unit: str
    lines: Sequence[Line]
    losses: Sequence[float]
    bounds: Sequence[Bound]
    left_out: int


@dataclass(slots=True)
class Axis:
    """Panels over the same stretch of time, in seconds since the run's start."""

    start: float
    end: float
    panels: list[Panel] = field(default_factory=list)
    shortest: float = 0.0


def axes(report: Report, reader: Reader) -> list[Axis]:
    """All charts in the order of time.

    Steps that overlap share an axis; so do steps that follow each other while none of them becomes too narrow
    to be read.
    """
    found: list[Axis] = []
    for step in sorted(report.steps, key=lambda step: step.t):
        panels = _panels(step, reader)
        if not panels:
            continue
        start, end = _span(panels)
        joined = found[-1] if found and _belongs(found[-1], start, end) else None
        if joined is None:
            found.append(Axis(start, end, panels, end - start))
        else:
            joined.panels += panels
            joined.end = max(joined.end, end)
            joined.shortest = min(joined.shortest, end - start)
    return found


def _belongs(axis: Axis, start: float, end: float) -> bool:
    if start < axis.end:
        return True
    whole = max(axis.end, end) - axis.start
    return min(axis.shortest, end - start) >= whole * _SMALLEST_SHARE


def _panels(step: Step, reader: Reader) -> list[Panel]:
    drawable = [
        series
        for series in step.series
        if is_numeric(series) and len(series.v) >= FEWEST and not is_of_a_hop(series.labels)
    ]
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in reader.in_order(drawable):
        groups.setdefault((series.key, series.labels.get("direction", "")), []).append(series)
    first = next((key for key, _direction in groups), None)
    return [
        _panel(step, key, direction, members, reader)
        for (key, direction), members in groups.items()
        if key == first or _is_course(key, reader)
    ]


def _is_course(key: str, reader: Reader) -> bool:
    """Whether a metric is one that only its course over time tells: a quantity sampled at intervals."""
    definition = reader.definition(key)
    return definition is not None and definition.type == "series" and definition.unit != "1"


def _panel(step: Step, key: str, direction: str, members: Sequence[Series], reader: Reader) -> Panel:
    unit = next(
        (metric.unit for metric in step.metrics if metric.key == key), _unit_by_definition(key, reader)
    )
    drawn = sorted(members, key=_badness, reverse=True)[:MOST_LINES] if len(members) > MOST_LINES else members
    lines = [_line(series, step, reader) for series in drawn]
    losses = sorted(
        t for series in drawn for t, value in zip(series.t, series.v, strict=True) if value is None
    )
    title = reader.title(key)
    if direction:
        title = f"{title} · {reader.labels({'direction': direction})}"
    return Panel(
        step=plain(step.key),
        title=title,
        key=key,
        unit=unit,
        lines=lines,
        losses=losses,
        bounds=_bounds(step, key, reader),
        left_out=len(members) - len(drawn),
    )


def _unit_by_definition(key: str, reader: Reader) -> str:
    definition = reader.definition(key)
    return "1" if definition is None else definition.unit


def _badness(series: Series) -> float:
    """Lines that lost most, then those with the highest values, are drawn if not all can be."""
    present = [float(value) for value in series.v if isinstance(value, int | float)]
    lost = (len(series.v) - len(present)) / len(series.v)
    return lost * 1e12 + max(present, default=0.0)


def _line(series: Series, step: Step, reader: Reader) -> Line:
    points: list[Point] = [
        (t, float(value) if isinstance(value, int | float) else None)
        for t, value in zip(series.t, series.v, strict=True)
    ]
    name = reader.labels(series.labels, hide=("direction",)) or plain(step.key)
    condensed = condense(points, _MOST_POINTS)
    return Line(name, condensed, len(condensed) < len(points))


def condense(points: Sequence[Point], most: int) -> list[Point]:
    """At most about `most` points: of each stretch its smallest and largest value; losses stay."""
    if len(points) <= most:
        return list(points)
    size = -(-2 * len(points) // most)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        present = [(value, t) for t, value in stretch if value is not None]
        chosen = {(t, value) for value, t in (min(present), max(present))} if present else set()
        lost = next(((t, None) for t, value in stretch if value is None), None)
        kept += sorted(chosen if lost is None else {*chosen, lost}, key=lambda point: point[0])
    return kept


def _bounds(step: Step, key: str, reader: Reader) -> list[Bound]:
    found: dict[tuple[str, float], Bound] = {}
    for threshold in step.thresholds:
        if threshold.metric != key:
            continue
        for verdict, expression in limit.both(threshold):
            value = limit.number(expression, threshold.unit, key)
            if value is not None:
                required = limit.required(expression, reader.words.verdict(verdict), reader.words.gettext)
                text = f"{reader.stat(threshold.stat)} {required}".strip()
                found[verdict, value] = Bound(verdict, value, text)
    return list(found.values())


def _span(panels: Sequence[Panel]) -> tuple[float, float]:
    times = [t for panel in panels for line in panel.lines for t, _value in line.points]
    return min(times), max(times)
