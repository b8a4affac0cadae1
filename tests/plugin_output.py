"""A strict reader of what a monitoring plug-in prints (Monitoring Plugins Development Guidelines, section 2).

    TEXT | 'label'=value[UOM];[warn];[crit];[min];[max] …
    LONG TEXT
    …

It refuses what some monitoring system would misread: a second bar, labels that repeat, units that are not in
the guidelines, ranges whose start lies above their end, values outside of their own least and most.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

UNITS = frozenset({"", "s", "us", "ms", "%", "B", "KB", "MB", "GB", "TB", "c"})
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
_DATUM = re.compile(
    rf"'(?P<label>[^'=]+)'=(?P<value>{_NUMBER}|U)(?P<unit>[A-Za-z%]*)(?P<rest>(?:;[^; ]*){{0,4}})"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_RANGE = re.compile(rf"(?P<inside>@?)(?:(?P<start>~|{_NUMBER}):)?(?P<end>{_NUMBER})?")


class Malformed(ValueError):
    """The output is not what the guidelines say."""


@dataclass(frozen=True)
class Range:
    """Alerts outside of `start` to `end`, both included; inside of them where `inside` is set."""

    start: float
    end: float
    inside: bool

    def alerts(self, value: float) -> bool:
        return (self.start <= value <= self.end) is self.inside


@dataclass(frozen=True)
class Datum:
    label: str
    value: float | None
    unit: str
    warning: Range | None
    critical: Range | None
    least: float | None
    most: float | None


@dataclass(frozen=True)
class Output:
    service: str
    state: str
    text: str
    data: list[Datum]
    more: list[str]


def parse(written: str) -> Output:
    """Everything that a plug-in wrote to its standard output."""
    if not written.endswith("\n"):
        raise Malformed("the last line has no end")
    first, *more = written.removesuffix("\n").split("\n")
    for line in (first, *more):
        if not line or _CONTROL.search(line):
            raise Malformed(f"not a line of text: {line!r}")
    if any("|" in line for line in more):
        raise Malformed("performance data in the long text")
    text, bar, data = first.partition("|")
    if bar and not (text.endswith(" ") and data.startswith(" ")):
        raise Malformed("no space beside the bar")
    head = re.fullmatch(rf"(.+?) ({'|'.join(STATES)}) - (\S.*)", text.rstrip(" "))
    if head is None:
        raise Malformed(f"no status: {text!r}")
    return Output(head[1], head[2], head[3], _data(data.removeprefix(" ")) if bar else [], more)


def parse_range(written: str) -> Range | None:
    """One warning or critical range; None where there is none."""
    if not written:
        return None
    found = _RANGE.fullmatch(written)
    if found is None or (found["start"] is None and found["end"] is None):
        raise Malformed(f"no range: {written!r}")
    start = -math.inf if found["start"] == "~" else float(found["start"] or 0)
    end = math.inf if found["end"] is None else float(found["end"])
    if start > end:
        raise Malformed(f"a range from {start} down to {end}")
    return Range(start, end, bool(found["inside"]))


def _data(written: str) -> list[Datum]:
    found: list[Datum] = []
    place = 0
    while place < len(written):
        match = _DATUM.match(written, place)
        if match is None or written[match.end() : match.end() + 1] not in ("", " "):
            raise Malformed(f"no performance data: {written[place : place + 80]!r}")
        found.append(_datum(match))
        place = match.end() + 1
    if not found or written.endswith(" "):
        raise Malformed("a bar without performance data, or a space behind it")
    if len({datum.label for datum in found}) < len(found):
        raise Malformed("a label that repeats")
    return found


def _datum(match: re.Match[str]) -> Datum:
    if match["unit"] not in UNITS:
        raise Malformed(f"no unit of the guidelines: {match['unit']}")
    if match["rest"].endswith(";"):
        raise Malformed("semicolons behind the last value")
    parts = [*match["rest"].split(";")[1:], "", "", "", ""]
    value = None if match["value"] == "U" else float(match["value"])
    least, most = (_limit(part) for part in parts[2:4])
    if value is not None and not (-math.inf if least is None else least) <= value <= (
        math.inf if most is None else most
    ):
        raise Malformed(f"{match['label']}: {value} is not within {least} and {most}")
    return Datum(
        match["label"], value, match["unit"], parse_range(parts[0]), parse_range(parts[1]), least, most
    )


def _limit(written: str) -> float | None:
    if not written:
        return None
    if re.fullmatch(_NUMBER, written) is None:
        raise Malformed(f"no number: {written!r}")
    return float(written)
