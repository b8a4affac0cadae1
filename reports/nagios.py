"""Nagios and its kin: one line of status and performance data, then a line for each step.

The grammar is that of the Monitoring Plugins Development Guidelines: `'label'=value[UOM];warn;crit;min;max`.
A limit says what must hold, a Nagios range when to keep still, so `< 60 ms` becomes `@0.06:` (alert from
60 ms on, 60 ms included) and `<= 1 %` becomes `~:1`. Values are in base units, ratios in percent; bits per
second have no unit there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from ots import units
from ots.model.metric import StatValue
from ots.model.outcome import Verdict
from ots.model.report import Report, Step
from ots.reports.format import Format, View
from ots.reports.plain import plain
from ots.reports.reading import Reader, headline, headlines
from ots.reports.why import why
from ots.schema.expression import Expression, ExpressionError

FORMAT = Format("nagios", "txt", "text/plain; charset=utf-8")

OK, WARNING, CRITICAL, UNKNOWN = range(4)
NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

STATES: dict[Verdict, int] = {
    "measured": OK,
    "pass": OK,
    "warn": WARNING,
    "fail": CRITICAL,
    "error": UNKNOWN,
    "skipped": UNKNOWN,
}

_LONGEST_DATA = 4000
"""Characters of performance data: some readers stop at 8 KiB, and half a label is worse than none."""


def render(report: Report, view: View, *, warn_as_fail: bool = False) -> str:
    """Status, performance data, and the steps as long output."""
    reader = Reader(view)
    state = state_of(report, warn_as_fail=warn_as_fail)
    text = f"{_safe(report.case.id).upper()} {NAMES[state]} - {_safe(why(report, reader))}"
    data = _data(report, reader)
    lines = [f"{text} | {data}" if data else text]
    for step in report.steps:
        said = "; ".join(fragment.text for fragment in reader.summary(step, report))
        head = f"{_safe(step.key)} {NAMES[STATES[step.verdict]]}"
        lines.append(f"{head} - {_safe(said)}" if said else head)
    return "\n".join(lines) + "\n"


def state_of(report: Report, *, warn_as_fail: bool = False) -> int:
    """0 to 3. A run that was cut short is unknown unless it had proven a breach before."""
    if report.verdict == "fail" or (report.verdict == "warn" and warn_as_fail):
        return CRITICAL
    return UNKNOWN if report.run.state != "completed" else STATES[report.verdict]


def alert_range(expression: str | None, unit: str, key: str) -> str:
    """A limit as a Nagios range, exact at the bound; empty where there is none or it has no such form."""
    if expression is None:
        return ""
    try:
        parsed = Expression.parse(expression, units.dimension_of(unit, key))
    except ExpressionError:
        return ""
    bounds = [_number(bound, unit, key) for bound in parsed.bounds]
    if not bounds or (parsed.operator == "in" and len(bounds) > 1):
        return ""
    low, high = bounds[0], bounds[-1]
    return {
        "<": f"@{high}:",
        "<=": f"~:{high}",
        ">": f"@~:{low}",
        ">=": f"{low}:",
        "!=": f"@{low}:{low}",
    }.get(parsed.operator, f"{low}:{high}")


def _data(report: Report, reader: Reader) -> str:
    """The judged figures first, then each step's headlines, every label once."""
    found: dict[str, str] = {}
    several = len(report.steps) > 1
    for rows in (_judged, _measured):
        for step in report.steps:
            for name, text in rows(step, reader):
                found.setdefault(f"{_label(step.key)}/{name}" if several else name, text)
    pieces: list[str] = []
    for label, text in found.items():
        piece = f"'{label}'={text}"
        if len(" ".join([*pieces, piece]).encode()) > _LONGEST_DATA:
            break
        pieces.append(piece)
    return " ".join(pieces)


def _judged(step: Step, reader: Reader) -> Iterator[tuple[str, str]]:
    for threshold in step.thresholds:
        warn, fail = (
            alert_range(text, threshold.unit, threshold.metric) for text in (threshold.warn, threshold.fail)
        )
        for judgement in threshold.judgements:
            value = judgement.value
            if value is not None and not _is_number(value):
                continue
            labels = judgement.labels if len(threshold.judgements) > 1 else {}
            name = _name(threshold.metric, threshold.stat, labels)
            yield name, _datum(value, threshold.unit, threshold.metric, warn, fail)


def _measured(step: Step, reader: Reader) -> Iterator[tuple[str, str]]:
    for chosen in headlines(reader.declared(step.metrics), reader.definitions):
        alike = [metric for metric in step.metrics if metric.key == chosen.key]
        for metric in alike:
            stat, value = headline(metric, reader.definition(metric.key))
            if _is_number(value) and stat not in ("mode", "distinct", "histogram"):
                labels = metric.labels if len(alike) > 1 else {}
                yield _name(metric.key, stat, labels), _datum(value, metric.unit, metric.key)


def _datum(value: StatValue, unit: str, key: str, warn: str = "", fail: str = "") -> str:
    ratio = units.dimension_of(unit, key) == "ratio"
    symbol = "%" if ratio else {"s": "s", "By": "B"}.get(unit, "")
    least, most = ("0", "100") if ratio else ("", "")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"U;{warn};{fail}".rstrip(";")
    return f"{_number(value, unit, key)}{symbol};{warn};{fail};{least};{most}".rstrip(";")


def _number(value: float, unit: str, key: str) -> str:
    """Digits without an exponent; a ratio in percent, exactly."""
    number = Decimal(repr(value))
    if units.dimension_of(unit, key) == "ratio":
        number *= 100
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _name(key: str, stat: str, labels: Mapping[str, str]) -> str:
    name = key if stat == "value" else f"{key}.{stat}"
    return _label(" ".join([name, *labels.values()]))


def _label(text: str) -> str:
    """A label's characters: no quote, no equals sign, no bar."""
    return _safe(text).replace("'", "_").replace("=", "_")


def _safe(text: str) -> str:
    """One line without the bar, behind which performance data begins."""
    return plain(text).replace("|", "¦")


def _is_number(value: StatValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
