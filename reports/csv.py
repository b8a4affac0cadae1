"""CSV: one row for each metric and set of labels, its statistics in columns, in base units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ots.model.metric import Metric
from ots.model.report import Report, Step
from ots.reports.format import Format, View
from ots.reports.reading import STATS_IN_ORDER, Reader
from ots.reports.table import Cell, document

FORMAT = Format("csv", "csv", "text/csv; charset=utf-8")

_HEAD = (
    *("report", "report_id", "start", "case", "case_version", "job", "step", "step_verdict", "probe"),
    *("metric", "title", "def_version", "unit", "target", "labels", "n", "n_valid", "n_lost"),
)
_STATS = (*STATS_IN_ORDER, "value", "ci95_low", "ci95_high", "histogram")
_TAIL = ("missing", "flags", "validity", "findings")


def render(report: Report, view: View) -> str:
    """A head and the rows; always the same columns, so that files can be put one below the other."""
    reader = Reader(view)
    return document([(*_HEAD, *_STATS, *_TAIL), *_rows(report, reader)])


def _rows(report: Report, reader: Reader) -> Iterator[list[Cell]]:
    for step in report.steps:
        for metric in reader.declared(step.metrics):
            yield [
                *origin(report, step),
                *(metric.key, reader.title(metric.key), metric.def_version, metric.unit),
                *(metric.labels.get("target"), labels(metric.labels)),
                *(metric.n, metric.n_valid, metric.n_lost),
                *(_stat(metric, stat) for stat in _STATS),
                "; ".join(f"{name.removeprefix('stats.')}: {why}" for name, why in metric.nulls.items()),
                " ".join(metric.quality_flags),
                *_validity(step),
            ]


def origin(report: Report, step: Step) -> list[Cell]:
    """The columns that say where a row comes from."""
    return [
        *(report.seq, report.report_id, report.run.start, report.case.id, report.case.version),
        *(report.job.id, step.key, step.verdict, step.probe),
    ]


def _validity(step: Step) -> list[Cell]:
    """The grade of the step's figures, and the codes of what it comes from."""
    if step.validity is None:
        return [None, None]
    return [step.validity.grade, " ".join(finding.code for finding in step.validity.findings)]


def labels(given: Mapping[str, str]) -> str:
    """Labels beside the target, which has a column of its own: `direction=down; segment=2`."""
    return "; ".join(f"{name}={value}" for name, value in sorted(given.items()) if name != "target")


def _stat(metric: Metric, stat: str) -> Cell:
    value = metric.stats.get(stat)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {count}" for name, count in value.items())
    return value
