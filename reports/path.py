"""The hops of a path as a table: what a trace measured at each router, in the order of the path.

A router's loss that no hop behind it shares is marked: it tells of the router, not of the path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ots.model.metric import Metric
from ots.model.report import Step
from ots.reports.flow import cut, wrap
from ots.reports.plain import plain
from ots.reports.quantity import Scale, scale, shown
from ots.reports.reading import Reader

_RTT, _LOSS, _LABELS = "trace_hop_rtt_seconds", "trace_hop_loss_ratio", "trace_mpls_labels"
_STATS = ("min", "median", "p95", "max")
_NOT_ON_THE_PATH = "*"
_GAP = 2
_SHORTEST_ADDRESS = 8
_DROPPED_FIRST = (6, 4, 3)
"""Columns that a narrow terminal does without, in this order: p95, min, sent."""


@dataclass(frozen=True, slots=True)
class HopRow:
    """`times` are min, median, p95 and max in the table's unit, empty where there is none."""

    hop: str
    address: str
    loss: str
    sent: str
    times: Sequence[str]
    note: str

    @property
    def cells(self) -> list[str]:
        return [self.hop, self.address, self.loss, self.sent, *self.times, self.note]


@dataclass(frozen=True, slots=True)
class PathTable:
    """The path to one target; `head` names the columns, `notes` explain marks."""

    step: str
    target: str
    head: Sequence[str]
    rows: Sequence[HopRow]
    notes: Sequence[str]


def is_of_a_hop(labels: Mapping[str, str]) -> bool:
    """Whether a metric or series stands in a path's table, and nowhere else for people."""
    return "hop" in labels


def paths_of(step: Step, reader: Reader) -> list[PathTable]:
    """One table for each target of which a path was measured."""
    targets: dict[str, list[Metric]] = {}
    for metric in step.metrics:
        if is_of_a_hop(metric.labels) and metric.labels["hop"].isdecimal():
            targets.setdefault(metric.labels.get("target", ""), []).append(metric)
    return [_table(step, target, metrics, reader) for target, metrics in targets.items()]


def lines_of(table: PathTable, width: int) -> list[Text]:
    """The table for a terminal of this width: numbers right-aligned, the notes below."""
    cells = [list(table.head), *(row.cells for row in table.rows)]
    kept = list(range(len(table.head)))
    if not any(row.note for row in table.rows):
        kept.remove(len(table.head) - 1)
    widths = [max(cell_len(line[column]) for line in cells) for column in range(len(table.head))]

    def room() -> int:
        others = sum(widths[column] + _GAP for column in kept if column not in (1, len(widths) - 1))
        return width - others

    for column in _DROPPED_FIRST:
        if room() < min(widths[1], _SHORTEST_ADDRESS * 2):
            kept.remove(column)
    widths[1] = max(_SHORTEST_ADDRESS, min(widths[1], room()))
    lines = []
    for number, line in enumerate(cells):
        text = (" " * _GAP).join(_aligned(line[column], widths[column], column) for column in kept)
        lines.append(Text(cut(text.rstrip(), width), "bright_black" if number == 0 else ""))
    return lines + [line for note in table.notes for line in wrap(Text(note, "bright_black"), width)]


def _aligned(cell: str, width: int, column: int) -> str:
    fitting = cut(cell, width)
    space = " " * (width - cell_len(fitting))
    return fitting + space if column in (1, 8) else space + fitting


def _table(step: Step, target: str, metrics: Sequence[Metric], reader: Reader) -> PathTable:
    _ = reader.words.gettext
    times = [metric for metric in metrics if metric.key == _RTT]
    losses = {metric.labels["hop"]: metric for metric in metrics if metric.key == _LOSS}
    stacks = {
        (metric.labels["hop"], metric.labels.get("address")): plain(metric.stats.get("value") or "")
        for metric in metrics
        if metric.key == _LABELS
    }
    fit = _scale(times)
    jump = next(iter(_of_whole(step, target, "trace_rtt_jump_hop")), None)
    rows: list[HopRow] = []
    before = ""
    for metric in sorted(times, key=lambda metric: int(metric.labels["hop"])):
        hop, address = metric.labels["hop"], metric.labels.get("address")
        first = hop != before
        before = hop
        stack = stacks.get((hop, address), "")
        notes = [_increment(jump, hop)] if first else []
        notes += [_refusal(metric, hop), f"MPLS {stack}" if stack else ""]
        loss = losses.get(hop)
        rows.append(
            HopRow(
                hop=_hop(metric, hop, losses) if first else "",
                address=_("no answer") if address is None else plain(address),
                loss=_loss(loss) if first and loss is not None else "",
                sent=str(loss.n) if first and loss is not None else "",
                times=[_time(metric, stat, fit) for stat in _STATS],
                note="  ".join(note for note in notes if note),
            )
        )
    marked = any(row.loss.endswith(_NOT_ON_THE_PATH) for row in rows)
    said = _(
        "the hops behind it lose less: this router leaves some probes unanswered, what passes through it "
        "arrives"
    )
    return PathTable(
        step=plain(step.key),
        target=plain(target),
        head=[
            _("hop"),
            _("address"),
            _("loss"),
            _("sent"),
            *(f"{reader.stat(stat)} {fit.unit}" if stat == "min" else reader.stat(stat) for stat in _STATS),
            "",
        ],
        rows=rows,
        notes=[f"{_NOT_ON_THE_PATH} {said}"] if marked else [],
    )


def _scale(times: Iterable[Metric]) -> Scale:
    medians = [metric.stats.get("median") for metric in times]
    numbers = sorted(float(value) for value in medians if isinstance(value, int | float))
    return scale(numbers[len(numbers) // 2 :] + numbers, "s", _RTT)


def _of_whole(step: Step, target: str, key: str) -> list[Metric]:
    return [metric for metric in step.metrics if metric.key == key and metric.labels == {"target": target}]


def _hop(metric: Metric, hop: str, losses: Mapping[str, Metric]) -> str:
    """The hop's number; of a silent end the whole stretch that was tried."""
    most = metric.method.get("max_hops")
    silent_end = "address" not in metric.labels and hop == max(losses, key=int)
    if silent_end and isinstance(most, int) and most > int(hop):
        return f"{hop}–{most}"
    return hop


def _loss(metric: Metric) -> str:
    mark = "" if metric.method.get("persists_to_end", True) else _NOT_ON_THE_PATH
    return shown(metric.stats.get("value"), metric.unit, metric.key) + mark


def _time(metric: Metric, stat: str, fit: Scale) -> str:
    value = metric.stats.get(stat)
    return fit.number(float(value)) if isinstance(value, int | float) else ""


def _increment(jump: Metric | None, hop: str) -> str:
    """`+20 ms` at the hop with the largest jump."""
    if jump is None or str(jump.stats.get("value")) != hop:
        return ""
    seconds = jump.method.get("jump_seconds")
    return f"+{shown(seconds, 's', _RTT)}" if isinstance(seconds, int | float) else ""


def _refusal(metric: Metric, hop: str) -> str:
    refused = metric.method.get("refused")
    return plain(refused) if refused and str(metric.method.get("refused_at_hop")) == hop else ""
