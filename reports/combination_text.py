"""The table of several runs, for a terminal and for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from ots.reports import table
from ots.reports.combination import SUCCESS, Combination, Row
from ots.reports.csv import labels
from ots.reports.flow import flow, hanging
from ots.reports.format import View
from ots.reports.plain import plain
from ots.reports.quantity import shown, span
from ots.reports.reading import HEADLINES, Reader
from ots.reports.terminal import printed
from ots.reports.words import Words

_NARROWEST = 40
_COLUMNS = (
    *("step", "metric", "title", "unit", "target", "labels", "stat", "method", "runs", "missing"),
    *("hits", "n", "n_valid", "n_lost", "value", "ci95_low", "ci95_high", "min", "max"),
)


def render(combination: Combination, view: View, *, everything: bool = False) -> str:
    """Which runs, the figures step by step, and what was not combined.

    Of each step its success, what leads it and its ratios, unless `everything` is asked for.
    """
    reader = Reader(view)
    width = max(_NARROWEST, view.width or 100)
    lines = [_head(combination, reader)]
    for step in dict.fromkeys(row.step for row in combination.rows):
        rows = [row for row in combination.rows if row.step == step]
        lines += [Text(), Text(plain(step), "bold")]
        for row in rows if everything else _telling(rows):
            lines += _row(row, reader, width)
    lines += _mixed(combination, reader, width)
    return printed(lines, view, width)


def csv(combination: Combination, view: View) -> str:
    """Every figure as a row of a spreadsheet, in base units."""
    reader = Reader(view)
    return table.document([_COLUMNS, *(_cells(row, reader) for row in combination.rows)])


def _head(combination: Combination, reader: Reader) -> Text:
    count = len(combination.reports)
    text = reader.words.ngettext("{n} run", "{n} runs", count).format(n=count)
    pieces = [Text(text, "bold")]
    if combination.first_start is not None and combination.last_start is not None:
        span_of_time = [combination.first_start, combination.last_start]
        pieces.append(Text(" – ".join(plain(each)[:19].replace("T", " ") + "Z" for each in span_of_time)))
    return Text("  ").join(pieces)


def _telling(rows: Sequence[Row]) -> Iterator[Row]:
    others = dict.fromkeys(row.metric for row in rows if row.metric != SUCCESS)
    leading = list(others)[:HEADLINES]
    for row in rows:
        if row.metric == SUCCESS or row.metric in leading or row.method == "pooled":
            yield row


def _row(row: Row, reader: Reader, width: int) -> list[Text]:
    _ = reader.words.gettext
    name = f"{_title(row, reader)} {reader.stat(row.stat)}".rstrip()
    beside = reader.labels(row.labels)
    pieces = [
        Text(name + (f" [{beside}]" if beside else "")),
        Text(shown(row.value, row.unit, row.metric), "bold"),
    ]
    if row.ci95 is not None:
        pieces.append(Text(f"95 %: {span(row.ci95[0], row.ci95[1], row.unit, row.metric)}"))
    if row.method == "pooled":
        pieces.append(Text(f"{row.hits}/{row.n}", "bright_black"))
    else:
        low, high = shown(row.min, row.unit, row.metric), shown(row.max, row.unit, row.metric)
        pieces.append(Text(_("from {low} to {high}").format(low=low, high=high), "bright_black"))
        pieces.append(Text(f"n {row.n_valid}", "bright_black"))
    runs = reader.words.ngettext("{n} run", "{n} runs", row.runs).format(n=row.runs)
    pieces.append(Text(runs, "bright_black"))
    if row.missing:
        pieces.append(Text(_("{n} without a value").format(n=row.missing), "yellow"))
    return [Text("  ") + line for line in flow(pieces, width - 2, gap=2)]


def _mixed(combination: Combination, reader: Reader, width: int) -> list[Text]:
    if not combination.mixed:
        return []
    _ = reader.words.gettext
    lines = [Text(), Text(_("Not combined: measured in different ways"), "bold")]
    grouped: dict[tuple[str, str], list[str]] = {}
    for each in combination.mixed:
        facts = "; ".join(fact.in_words(reader.words) for fact in each.facts)
        why = f"{facts} (#{each.first} / #{each.second})"
        title = _success(reader.words) if each.metric == SUCCESS else reader.title(each.metric)
        grouped.setdefault((each.step, why), []).append(title)
    for (step, why), names in grouped.items():
        pieces = [Text(why, "yellow"), *(Text(name) for name in dict.fromkeys(names))]
        head = Text(f"  {plain(step)}")
        lines += hanging(head, flow(pieces, width - 6, gap=2), min(head.cell_len + 2, width // 3))
    return lines


def _title(row: Row, reader: Reader) -> str:
    return _success(reader.words) if row.metric == SUCCESS else reader.title(row.metric)


def _success(words: Words) -> str:
    _ = words.gettext
    return _("Attempts that succeeded")


def _cells(row: Row, reader: Reader) -> list[table.Cell]:
    low, high = row.ci95 if row.ci95 is not None else (None, None)
    return [
        *(row.step, row.metric, _title(row, reader), row.unit, row.labels.get("target"), labels(row.labels)),
        *(row.stat, row.method, row.runs, row.missing, row.hits, row.n, row.n_valid, row.n_lost),
        *(row.value, low, high, row.min, row.max),
    ]
