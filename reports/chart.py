"""Draws a panel as static SVG with pygal. Colours and type come from the page's stylesheet.

What pygal adds for browsers (scripts, styles, descriptions for its tooltips) is taken out. A lost sample
becomes a cross at the top of the chart, for it took infinitely long.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from xml.etree import ElementTree

import pygal
from markupsafe import Markup
from pygal.style import Style

from ots.reports.panels import Axis, Panel
from ots.reports.quantity import Scale, scale, shown
from ots.reports.ticks import ticks, time_ticks

# pygal leaves a finder for old plug-ins behind, of a kind that makes Python warn at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]

_DROPPED = {"defs", "title", "desc", "script", "style"}
_FAR = 2.5
"""A limit further away than this multiple of the largest value would flatten the curve: not drawn."""
_DOTS = 90
_FINE = 10.0
"""Axes shorter than this many seconds have ticks at fractions of a second."""

_LABEL_COLUMNS = 10
_FONT_SIZE = 12
_ATTRIBUTES = frozenset({"class", "d", "x", "y", "cx", "cy", "r", "width", "height", "transform", "viewBox"})
_STYLE = Style(
    label_font_size=_FONT_SIZE,
    major_label_font_size=_FONT_SIZE,
    colors=("black",) * 16,
    value_colors=("black",) * 16,
)


def draw(panel: Panel, axis: Axis, *, width: int, height: int, label: str) -> Markup:
    """The panel over its axis's time, as an `svg` element of the HTML page. Sizes in CSS pixels."""
    values = [value for line in panel.lines for _t, value in line.points if value is not None]
    top = max(values)
    bounds = [bound for bound in panel.bounds if 0 < bound.value <= top * _FAR]
    highest = max([top, *(bound.value for bound in bounds)])
    fit = scale([highest], panel.unit, panel.key)
    y_ticks = ticks(min(0.0, *values) / fit.factor, highest / fit.factor, 4)
    chart = _canvas(axis, fit, y_ticks, width, height)
    classes: list[str] = []
    for position, line in enumerate(panel.lines):
        points = [(t, None if value is None else value / fit.factor) for t, value in line.points]
        chart.add(None, points, show_dots=len(points) <= _DOTS)
        classes.append(f"line-{position}")
    for bound in bounds:
        level = bound.value / fit.factor
        chart.add(None, [(axis.start, level), (axis.end, level)], show_dots=False)
        classes.append(f"bound-{bound.verdict}")
    chart.add(None, [(t, y_ticks[-1]) for t in panel.losses], stroke=False)
    classes.append("lost")
    return _element(chart.render_tree(), classes, label)


def far_bounds(panel: Panel) -> list[str]:
    """The limits that lie outside of the drawn chart."""
    top = max(value for line in panel.lines for _t, value in line.points if value is not None)
    return [bound.text for bound in panel.bounds if not 0 < bound.value <= top * _FAR]


def _canvas(axis: Axis, fit: Scale, y_ticks: Sequence[float], width: int, height: int) -> pygal.XY:
    places = max(0, -_exponent(y_ticks[1] - y_ticks[0]))
    # Labels of equal length give every panel the same left edge, so that instants stand below each other.
    texts = {tick: f"{tick:.{places}f} {fit.unit}".rstrip().rjust(_LABEL_COLUMNS) for tick in y_ticks}
    return pygal.XY(
        width=width,
        height=height,
        style=_STYLE,
        js=[],
        no_prefix=True,
        disable_xml_declaration=True,
        show_legend=False,
        allow_interruptions=True,
        margin=0,
        margin_top=8,
        margin_right=8,
        dots_size=2,
        xrange=(axis.start, axis.end),
        range=(y_ticks[0], y_ticks[-1]),
        x_labels=time_ticks(axis.start, axis.end, max(3, width // 110)),
        y_labels=[{"value": tick, "label": text} for tick, text in texts.items()],
        x_value_formatter=lambda seconds: instant(seconds, fine=axis.end - axis.start < _FINE),
        value_formatter=lambda value: f"{value:.4g} {fit.unit}".rstrip(),
    )


def instant(seconds: float, *, fine: bool) -> str:
    """A tick of the time axis: `1 min 30 s`, but `90.5 s` where ticks stand closer than a second."""
    if fine and seconds >= 1:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    return shown(float(f"{seconds:.9g}"), "s") if seconds else "0 s"


def _exponent(step: float) -> int:
    return int(f"{step:e}".partition("e")[2])


def _element(tree: ElementTree.Element, classes: Sequence[str], label: str) -> Markup:
    _hang_tooltips(tree)
    _prune(tree)
    for group in tree.iter("g"):
        series = re.search(r"serie-(\d+)", group.get("class", ""))
        if series is not None:
            group.set("class", f"series {classes[int(series[1])]}")
            if classes[int(series[1])] == "lost":
                _cross_out(group)
    for node in tree.iter():
        for name in list(node.attrib):
            if name not in _ATTRIBUTES:
                del node.attrib[name]
        for name in ("d", "x", "y", "cx", "cy", "transform", "width", "height"):
            if name in node.attrib:
                node.set(name, re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.1f}", node.attrib[name]))
    tree.set("class", "chart")
    tree.set("role", "img")
    tree.set("aria-label", label)
    return Markup(ElementTree.tostring(tree, encoding="unicode"))


def _hang_tooltips(tree: ElementTree.Element) -> None:
    """Moves pygal's description of a dot into the dot, where a browser shows it without a script."""
    for group in tree.iter("g"):
        dot, value = group.find("circle"), group.find("desc[@class='value']")
        if dot is not None and value is not None:
            ElementTree.SubElement(dot, "g").set("class", "tip")
            dot[0].text = value.text


def _prune(node: ElementTree.Element) -> None:
    for child in list(node):
        name = child.tag if isinstance(child.tag, str) else "comment"
        kind = child.get("class", "")
        if kind == "tip":
            child.tag, child.attrib = "title", {}
        elif name in _DROPPED or name == "comment" or kind.endswith("-overlay"):
            node.remove(child)
        else:
            _prune(child)
            if child.tag == "g" and len(child) == 0:
                node.remove(child)


def _cross_out(group: ElementTree.Element) -> None:
    """Draws × instead of dots, with a thin line down to the time axis."""
    for parent in group.iter("g"):
        for dot in parent.findall("circle"):
            x, y = float(dot.get("cx", "0")), float(dot.get("cy", "0"))
            dot.tag = "path"
            dot.attrib = {"class": "cross", "d": f"M{x - 4} {y - 4}l8 8m0 -8l-8 8"}
