"""One probe's result in detail: how it was measured, every figure, and the samples at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from ots.model.metric import Metric, Series
from ots.model.report import Step, ThresholdResult
from ots.reports import facts, words
from ots.reports.colours import STYLES
from ots.reports.flow import flow, hanging, wrap
from ots.reports.path import is_of_a_hop, lines_of, paths_of
from ots.reports.plain import plain
from ots.reports.quantity import scale, span
from ots.reports.reading import (
    Reader,
    failed_targets,
    flags_of,
    headline,
    main_series,
    nothing_bad,
    numbers_of,
    stats_in_order,
)
from ots.reports.sparkline import per_mark, sparkline

_MARGIN = 2
_FAILED = 8
"""Failed targets that are named; the JSON report and the HTML page have more."""
_LEADING = 4
"""Parameters and facts of the method that fit into the head; the HTML report has all."""

_BESIDE = 24
"""Columns that statistics need beside the name of their metric; with fewer they stand below it."""

_MOST_TARGETS = 16


def head(step: Step, reader: Reader, width: int) -> list[Text]:
    """What was measured and how, in a line: target, kind, the leading parameters, the method."""
    targets = [plain(target) for target in step.targets]
    names = ", ".join(targets[:3]) + (f" … ({len(targets)})" if len(targets) > 3 else "")
    pieces = [Text(names, "bold"), Text(plain(step.probe))]
    pieces += [Text(piece) for piece in facts.parameters(step.params)[:_LEADING]]
    pieces += [Text(piece, "bright_black") for piece in _method(step, reader)]
    return flow(pieces, width)


def detail(step: Step, reader: Reader, width: int) -> list[Text]:
    """What went wrong, a block of figures for each target, and what qualifies the figures."""
    lines = _trouble(step, reader, width)
    groups = by_target(reader.declared(step.metrics))
    for target, metrics in list(groups.items())[:_MOST_TARGETS]:
        if len(groups) > 1:
            lines.append(Text(target or reader.words.gettext("all together"), "bold"))
        lines += _block([metric for metric in metrics if not is_of_a_hop(metric.labels)], reader, width)
        lines += _samples(step, target, reader, width, only=len(groups) == 1)
        lines += _path(step, target, reader, width)
    if len(groups) > _MOST_TARGETS:
        more = reader.words.gettext("{n} more targets: see the report as HTML or JSON")
        lines.append(Text(more.format(n=len(groups) - _MOST_TARGETS)))
    lines += [line for threshold in step.thresholds for line in _limit(threshold, step, reader, width)]
    if step.validity is not None:
        said = Text(reader.validity(step, step.validity))
        lines += [Text(" " * _MARGIN) + line for line in wrap(said, width - _MARGIN)]
    flags = [Text(reader.words.of(words.FLAGS, flag), "yellow") for flag in flags_of(step)]
    return lines + [Text(" " * _MARGIN) + line for line in flow(flags, width - _MARGIN)]


def by_target(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    """Metrics by their target; those of the whole step under "", or with the only target there is."""
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(plain(metric.labels.get("target", "")), []).append(metric)
    if len(groups) == 2 and "" in groups:
        whole = groups.pop("")
        next(iter(groups.values())).extend(whole)
    return groups


def _limit(threshold: ThresholdResult, step: Step, reader: Reader, width: int) -> list[Text]:
    """A limit with its mark: `✔ Packet loss 0 % (fail above 1 %)`."""
    style = STYLES[threshold.verdict]
    mark = Text(" " * _MARGIN).append(words.MARKS[threshold.verdict], style)
    said = Text(reader.judged(threshold, step, None).text)
    return hanging(mark, wrap(said, width - _MARGIN - 2), _MARGIN + 2)


def _method(step: Step, reader: Reader) -> list[str]:
    """Of the method what is said in a word and isn't a parameter: `socket raw`, `timestamp source kernel`."""
    return [
        facts.named(name, value, reader.words)
        for name, value in facts.method(step.metrics).items()
        if isinstance(value, str) and name not in step.params and value not in step.targets
    ][:_LEADING]


def _block(metrics: Sequence[Metric], reader: Reader, width: int) -> list[Text]:
    inner = width - _MARGIN
    telling = [metric for metric in metrics if metric is metrics[0] or _tells_something(metric, reader)]
    spread = [metric for metric in telling if metric.n_valid > 1 and len(numbers_of(metric)) > 1]
    single = [metric for metric in telling if metric not in spread]
    lines = flow((_single(metric, reader) for metric in single), inner)
    for metric in spread:
        lines += _spread(metric, reader, inner)
    return [Text(" " * _MARGIN) + line for line in lines]


def _tells_something(metric: Metric, reader: Reader) -> bool:
    """Not what could not be measured at all, nor instants: the HTML report has those."""
    if metric.key.endswith("_timestamp") or headline(metric, reader.definition(metric.key))[1] is None:
        return False
    return not nothing_bad(metric, reader.definition(metric.key))


def _single(metric: Metric, reader: Reader) -> Text:
    stat, value = headline(metric, reader.definition(metric.key))
    text = Text(f"{reader.title(metric.key)} ")
    text.append(_value(metric, stat, reader), "bold")
    labels = reader.labels(metric.labels, hide=("target",))
    if labels:
        text.append(f" [{labels}]")
    low, high = metric.stats.get("ci95_low"), metric.stats.get("ci95_high")
    if value is not None and isinstance(low, int | float) and isinstance(high, int | float):
        text.append(f" (95 %: {span(low, high, metric.unit, metric.key)})", "bright_black")
    reason = metric.nulls.get(f"stats.{stat}")
    if value is None and reason is not None:
        text.append(f" ({reader.reason(reason)})", "bright_black")
    return text


def _value(metric: Metric, stat: str, reader: Reader) -> str:
    return reader.shown(metric.stats.get(stat), metric.unit, metric.key)


def _spread(metric: Metric, reader: Reader, width: int) -> list[Text]:
    """`RTT ms   min 11.2  median 12.0  p95 14.8  max 19.3`, all in one unit."""
    numbers = numbers_of(metric)
    centre = numbers.get("median", numbers.get("mean", next(iter(numbers.values()))))
    fit = scale([centre, *numbers.values()], metric.unit, metric.key)
    labels = reader.labels(metric.labels, hide=("target",))
    name = reader.title(metric.key) + (f" [{labels}]" if labels else "")
    head = Text(f"{name} {fit.unit}".rstrip())
    pieces = []
    for stat in stats_in_order(metric):
        value = metric.stats[stat]
        if stat in numbers:
            pieces.append(Text(f"{reader.stat(stat)} ").append(fit.number(numbers[stat]), "bold"))
        elif isinstance(value, int | float):
            pieces.append(Text(f"{reader.stat(stat)} ").append(f"{value:.2g}", "bold"))
    pieces += _missing(metric, reader)
    beside = head.cell_len + 2
    indent = beside if width - beside >= _BESIDE else _MARGIN
    return hanging(head, flow(pieces, width - indent, gap=2), indent)


def _missing(metric: Metric, reader: Reader) -> list[Text]:
    """`(p99: too few samples)`, the statistics that share a reason together."""
    reasons: dict[str, list[str]] = {}
    for stat in stats_in_order(metric):
        if (reason := metric.nulls.get(f"stats.{stat}")) is not None:
            reasons.setdefault(reason, []).append(reader.stat(stat))
    return [
        Text(f"({', '.join(stats)}: {reader.reason(reason)})", "bright_black")
        for reason, stats in reasons.items()
    ]


def _samples(step: Step, target: str, reader: Reader, width: int, *, only: bool) -> list[Text]:
    lines = []
    for series in main_series(reader, step):
        if only or plain(series.labels.get("target", "")) == target:
            lines += _sparkline(series, reader, width - _MARGIN)
    return [Text(" " * _MARGIN) + line for line in lines]


def _path(step: Step, target: str, reader: Reader, width: int) -> list[Text]:
    tables = [table for table in paths_of(step, reader) if table.target == target]
    rows = [line for table in tables for line in lines_of(table, width - _MARGIN)]
    return [Text(" " * _MARGIN) + line for line in rows]


def _sparkline(series: Series, reader: Reader, width: int) -> list[Text]:
    definition = reader.definition(series.key)
    worst = "low" if definition is not None and definition.better == "higher" else "high"
    text = Text(sparkline(series.v, width, worst=worst))
    text.highlight_regex("×+", "bold red")
    group = per_mark(series.v, width)
    if group == 1:
        return [text]
    note = reader.words.gettext("each mark: the worst of {n} samples").format(n=group)
    return [text, Text(note, "bright_black")]


def _trouble(step: Step, reader: Reader, width: int) -> list[Text]:
    """What went wrong and what to do about it."""
    _ = reader.words.gettext
    pieces: list[Text] = []
    if step.error is not None:
        pieces.append(Text(reader.error(step.error), "red"))
        if step.error.remedy:
            pieces.append(Text(_("try: {remedy}").format(remedy=plain(_(step.error.remedy)))))
    failed = failed_targets(step)
    if len(step.targets) > 1 and failed:
        shown = ", ".join(plain(target) for target in failed[:_FAILED])
        said = _("{n} of {total} targets failed: {targets}").format(
            n=len(failed), total=len(step.targets), targets=shown + " …" * (len(failed) > _FAILED)
        )
        pieces.append(Text(said, "red"))
    return [Text(" " * _MARGIN) + line for piece in pieces for line in wrap(piece, width - _MARGIN)]
