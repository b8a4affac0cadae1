"""The HTML report's charts: drawings for two widths of screen, their legend and their notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ots.reports.chart import draw, far_bounds
from ots.reports.panels import MOST_LINES, Axis, Panel
from ots.reports.reading import Reader

WIDE, NARROW = (1040, 190), (350, 170)


@dataclass(frozen=True, slots=True)
class Chart:
    step: str
    title: str
    wide: Markup
    narrow: Markup
    legend: Sequence[tuple[str, str]]
    notes: Sequence[str]


def charts_of(axis: Axis, reader: Reader) -> list[Chart]:
    return [_chart(panel, axis, reader) for panel in axis.panels]


def _chart(panel: Panel, axis: Axis, reader: Reader) -> Chart:
    _ = reader.words.gettext
    label = _("{metric} over time, step {step}").format(metric=panel.title, step=panel.step)
    wide, narrow = (
        draw(panel, axis, width=width, height=height, label=label) for width, height in (WIDE, NARROW)
    )
    legend = [(f"line-{position}", line.name) for position, line in enumerate(panel.lines)]
    far = far_bounds(panel)
    legend += [
        (
            f"bound-{bound.verdict}",
            bound.text,
        )
        for bound in panel.bounds
        if bound.text not in far
    ]
    if panel.losses:
        lost = reader.words.ngettext("{n} lost", "{n} lost", len(panel.losses)).format(n=len(panel.losses))
        legend.append(("lost", lost))
    notes = []
    if far:
        notes.append(_("outside of the chart: {limits}").format(limits=" · ".join(dict.fromkeys(far))))
    if panel.left_out:
        notes.append(
            _("the {shown} worst of {total} series").format(
                shown=MOST_LINES, total=MOST_LINES + panel.left_out
            )
        )
    if any(line.condensed for line in panel.lines):
        notes.append(_("condensed: the smallest and the largest sample of each stretch"))
    return Chart(panel.step, panel.title, wide, narrow, legend, notes)
