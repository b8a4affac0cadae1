"""CSV of every sample: one row for each observation, also for those that never came."""

from __future__ import annotations

from collections.abc import Iterator

from ots.model.report import Report
from ots.reports.csv import labels, origin
from ots.reports.format import Format, View
from ots.reports.reading import Reader
from ots.reports.table import Cell, document

FORMAT = Format("csv-samples", "csv", "text/csv; charset=utf-8")

_HEAD = (
    *("report", "report_id", "start", "case", "case_version", "job", "step", "step_verdict", "probe"),
    *("metric", "unit", "target", "labels", "t_seconds", "attempt", "value", "missing"),
)


def render(report: Report, view: View) -> str:
    """A head and the rows; `t_seconds` counts from the run's start, values are in base units."""
    return document([_HEAD, *_rows(report, Reader(view))])


def _rows(report: Report, reader: Reader) -> Iterator[list[Cell]]:
    for step in report.steps:
        units = {metric.key: metric.unit for metric in step.metrics}
        for series in reader.in_order(step.series):
            definition = reader.definition(series.key)
            unit = units.get(series.key) or (definition.unit if definition is not None else None)
            whence = [*origin(report, step), series.key, unit]
            whence += [series.labels.get("target"), labels(series.labels)]
            for position, (t, value) in enumerate(zip(series.t, series.v, strict=False)):
                attempt = series.a[position] if position < len(series.a) else None
                yield [*whence, t, attempt, value, series.nulls.get(str(position))]
