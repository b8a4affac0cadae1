"""What of the HTML report's page goes on paper, which can't be opened up or searched: all but the long lists.

Setting a row in print takes milliseconds and a thousand targets have thousands of rows, so that a document
has a largest length. What is left out is said where it would have stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from ots.reports.page import Page
from ots.reports.page_charts import Chart
from ots.reports.page_details import Fact, StepDetail
from ots.reports.page_results import Row, StepRows
from ots.reports.waterfall import PageLoads, Waterfall
from ots.reports.words import Words

MOST_ROWS_OF_A_STEP = 60
MOST_ROWS = 1000
"""Rows of results in a document, and of figures as many again."""
MOST_ATTEMPTS = 20
"""A step with more attempts has no list of them."""
MOST_STEPS = 150
"""Steps with their details; their results are all there."""
MOST_DRAWINGS = 100
MOST_GAPS = 200
MOST_WATERFALLS = 12
MOST_REQUESTS = 30
"""Rows of one waterfall."""

_TELLING = ("fail", "error", "warn")


def on_paper(page: Page, words: Words) -> Page:
    """The page for print: no samples, no drawings for phones, long tables cut with a word about it."""
    _ = words.gettext
    drawings = [chart for axis in page.charts for chart in axis]
    cuts = [
        (_("Charts"), MOST_DRAWINGS, len(drawings)),
        (_("Steps in detail"), MOST_STEPS, len(page.details)),
        (_("Not measured, and why"), MOST_GAPS, len(page.gaps)),
    ]
    said = [Fact(name, _cut(most, total, words)) for name, most, total in cuts if total > most]
    return replace(
        page,
        steps=_shorter_results(page.steps, words),
        charts=_drawn(page.charts),
        page_loads=_shorter_loads(page.page_loads, words),
        details=_shorter_details(page.details[:MOST_STEPS], words),
        gaps=page.gaps[:MOST_GAPS],
        versions=[*page.versions, *said],
    )


def _drawn(charts: Sequence[Sequence[Chart]]) -> list[list[Chart]]:
    left = MOST_DRAWINGS
    drawn = []
    for axis in charts:
        shown = [replace(chart, narrow=Markup()) for chart in axis[:left]]
        left -= len(shown)
        if shown:
            drawn.append(shown)
    return drawn


def _shorter_loads(loads: Sequence[PageLoads], words: Words) -> list[PageLoads]:
    """The first waterfalls with their first requests."""
    shorter = []
    left = MOST_WATERFALLS
    for step in loads:
        drawn = [_shorter_load(waterfall, words) for waterfall in step.waterfalls[:left]]
        left -= len(drawn)
        notes = list(step.notes)
        if len(drawn) < len(step.waterfalls):
            notes.append(_cut(len(drawn), len(step.waterfalls), words))
        shorter.append(replace(step, waterfalls=drawn, notes=notes))
    return shorter


def _shorter_load(waterfall: Waterfall, words: Words) -> Waterfall:
    if len(waterfall.rows) <= MOST_REQUESTS:
        return waterfall
    note = _cut(MOST_REQUESTS, len(waterfall.rows), words)
    return replace(waterfall, rows=waterfall.rows[:MOST_REQUESTS], note=f"{note} {waterfall.note}".rstrip())


def _shorter_results(steps: Sequence[StepRows], words: Words) -> list[StepRows]:
    shorter = []
    left = MOST_ROWS
    for step in steps:
        rows = _telling_rows(step.rows, min(MOST_ROWS_OF_A_STEP, left))
        left -= len(rows)
        said = (
            step.said if len(rows) == len(step.rows) else [*step.said, _cut(len(rows), len(step.rows), words)]
        )
        shorter.append(replace(step, rows=rows, said=said))
    return shorter


def _telling_rows(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """As many as there may be, those with a broken limit before others, in the order that they had."""
    if len(rows) <= most:
        return rows
    first = sorted(range(len(rows)), key=lambda place: (rows[place].verdict not in _TELLING, place))[:most]
    return [rows[place] for place in sorted(first)]


def _shorter_details(details: Sequence[StepDetail], words: Words) -> list[StepDetail]:
    shorter = []
    left = MOST_ROWS
    for detail in details:
        figures = detail.figures[: min(MOST_ROWS_OF_A_STEP, left)]
        left -= len(figures)
        attempts = detail.attempts if len(detail.attempts) <= MOST_ATTEMPTS else []
        facts = list(detail.facts)
        if len(figures) < len(detail.figures):
            told = _cut(len(figures), len(detail.figures), words)
            facts.append(Fact(words.gettext("All figures"), told))
        if len(attempts) < len(detail.attempts):
            told = _cut(0, len(detail.attempts), words)
            facts.append(Fact(words.gettext("Attempts"), told))
        note = detail.attempts_note if attempts else ""
        shorter.append(
            replace(detail, facts=facts, figures=figures, attempts=attempts, attempts_note=note, samples=[])
        )
    return shorter


def _cut(shown: int, total: int, words: Words) -> str:
    return words.gettext("{shown} of {total} on paper; the HTML and JSON reports have them all").format(
        shown=shown, total=total
    )
