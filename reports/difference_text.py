"""The comparison of two runs for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from ots.i18n import N_
from ots.reports.difference import Change, Difference, Direction, Reference, Refusal, Side
from ots.reports.flow import flow, hanging
from ots.reports.format import View
from ots.reports.plain import plain
from ots.reports.quantity import MISSING, shown
from ots.reports.reading import HEADLINES, Reader
from ots.reports.terminal import printed

DIRECTIONS: dict[Direction, str] = {
    "better": N_("better"),
    "worse": N_("worse"),
    "changed": N_("changed"),
    "same": N_("no clear difference"),
    "unclear": N_("can't be told"),
}
_MARKS: dict[Direction, str] = {"better": "▲", "worse": "▼", "changed": "≠", "same": "=", "unclear": "?"}
_DIM = "bright_black"
_STYLES: dict[Direction, str] = {
    "better": "green",
    "worse": "bold red",
    "changed": "yellow",
    "same": _DIM,
    "unclear": _DIM,
}
_NARROWEST = 40


def render(difference: Difference, view: View, *, everything: bool = False) -> str:
    """Both runs, the changes step by step, what can't be compared and why, and the sums.

    Of each step only what leads it and what changed, unless `everything` is asked for.
    """
    reader = Reader(view)
    width = max(_NARROWEST, view.width or 100)
    lines = [
        *flow(_run("A", difference.a, reader), width, gap=2),
        *flow(_run("B", difference.b, reader), width, gap=2),
        *_circumstances(difference, reader, width),
    ]
    for step in difference.steps:
        of_step = [change for change in difference.changes if change.step == step.step]
        told = of_step if everything else list(_telling(of_step))
        verdicts = reader.words.verdict(step.a)
        if step.a != step.b:
            verdicts += f" → {reader.words.verdict(step.b)}"
        if told or step.a != step.b:
            lines += [Text(), *flow([Text(plain(step.step), "bold"), Text(verdicts)], width, gap=2)]
            lines += [line for change in told for line in _change(change, reader, width)]
    lines += _refusals(difference, reader, width)
    lines += [Text(), *flow(_sums(difference.changes, reader), width, gap=2)]
    return printed(lines, view, width)


def _run(name: str, run: Reference, reader: Reader) -> list[Text]:
    version = "" if run.case_version is None else f" v{run.case_version}"
    verdict = reader.words.verdict(run.verdict)
    start = plain(run.start)[:19].replace("T", " ") + "Z"
    return [
        *(Text(name, "bold"), Text(f"#{run.seq}"), Text(start)),
        *(Text(plain(run.case) + version), Text(verdict)),
    ]


def _circumstances(difference: Difference, reader: Reader, width: int) -> list[Text]:
    _ = reader.words.gettext
    if not difference.circumstances:
        return []
    pieces = [Text(fact.in_words(reader.words), "yellow") for fact in difference.circumstances]
    head = Text(_("also different:"))
    return hanging(head, flow(pieces, width - head.cell_len - 2), head.cell_len + 2)


def _telling(changes: Sequence[Change]) -> Iterator[Change]:
    """A step's leading figures, and all others that clearly changed."""
    leading = list(dict.fromkeys(change.metric for change in changes if change.headline))[:HEADLINES]
    for change in changes:
        clear = change.change in ("better", "worse")
        if clear or (change.headline and change.metric in leading):
            yield change


def _change(change: Change, reader: Reader, width: int) -> list[Text]:
    _ = reader.words.gettext
    style = _STYLES[change.change]
    mark = Text("  ").append(_MARKS[change.change], style)
    name = f"{reader.title(change.metric)} {reader.stat(change.stat)}".rstrip()
    labels = reader.labels(change.labels)
    pieces = [Text(name + (f" [{labels}]" if labels else ""))]
    pieces.append(Text(f"{_value(change.a, change, reader)} → {_value(change.b, change, reader)}", "bold"))
    if change.difference:
        pieces.append(Text(_by(change), style))
    pieces.append(Text(_(DIRECTIONS[change.change]), style))
    pieces += [Text(piece, _DIM) for piece in _evidence(change)]
    return hanging(mark, flow(pieces, width - 4, gap=2), 4)


def _value(side: Side, change: Change, reader: Reader) -> str:
    if side.value is None:
        return f"{MISSING} ({reader.reason(side.reason or 'not_measured')})"
    return reader.shown(side.value, change.unit, change.metric)


def _by(change: Change) -> str:
    """`+10.1 ms (+90 %)`; of a ratio `+1.2 %` of the whole, not of itself."""
    difference = change.difference or 0.0
    sign = "+" if difference > 0 else ""
    text = sign + shown(difference, change.unit, change.metric)
    if change.relative is None or change.metric.endswith("_ratio"):
        return text
    return f"{text} ({sign}{change.relative * 100:.3g} %)"


def _evidence(change: Change) -> list[str]:
    told = [f"n {change.a.n_valid}/{change.b.n_valid}"]
    if change.p is not None:
        told.append("p < 0.001" if change.p < 0.001 else f"p {change.p:.2g}")
    return told


def _refusals(difference: Difference, reader: Reader, width: int) -> list[Text]:
    if not difference.not_compared:
        return []
    _ = reader.words.gettext
    lines = [Text(), Text(_("Not compared"), "bold")]
    grouped: dict[tuple[str, str], list[str]] = {}
    for refusal in difference.not_compared:
        names = grouped.setdefault((refusal.step, _why(refusal, reader)), [])
        if refusal.metric is not None:
            names.append(reader.title(refusal.metric))
    for (step, why), names in grouped.items():
        pieces = [Text(why, "yellow"), *(Text(name) for name in dict.fromkeys(names))]
        head = Text(f"  {plain(step)}")
        indent = min(head.cell_len + 2, width // 3)
        lines += hanging(head, flow(pieces, width - indent, gap=2), indent)
    return lines


def _why(refusal: Refusal, reader: Reader) -> str:
    _ = reader.words.gettext
    if refusal.facts:
        return "; ".join(fact.in_words(reader.words) for fact in refusal.facts)
    return {
        "only_in_a": _("only in A"),
        "only_in_b": _("only in B"),
        "labels": _("other labels"),
    }.get(refusal.reason, refusal.reason)


def _sums(changes: Iterable[Change], reader: Reader) -> list[Text]:
    counts = Counter(change.change for change in changes)
    return [
        Text(f"{counts[name]} {reader.words.gettext(said)}", _STYLES[name] if counts[name] else _DIM)
        for name, said in DIRECTIONS.items()
    ]
