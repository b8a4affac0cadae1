"""Page loads as waterfalls: one row for each request, its phases as bars on the page's time axis.

Everything is read from the HAR files that the web page probe keeps; whatever is no such thing in them is left
out. Positions and widths are percent of the axis, so that a page, a phone and a sheet of paper draw the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ots.i18n import N_
from ots.model.report import Artifact, Report, Step
from ots.reports.har_artifacts import log_of, named_by, record, records
from ots.reports.plain import plain, shorten
from ots.reports.quantity import MISSING, duration, shown
from ots.reports.reading import Reader
from ots.reports.ticks import time_ticks
from ots.reports.words import ERROR_CLASSES

MOST_REQUESTS = 60
"""Rows of one waterfall."""

MOST_LOADS = 8
"""Page loads of one step that are drawn."""

_LONGEST_TITLE = 120
_LONGEST_NAME = 52
_TICKS = 5
_LAST_TICK = 0.88
"""Share of the axis after which there is no room for another label."""
_LONGEST = 86_400
"""Seconds: what lies further from the first request, or takes longer, is no part of a page load."""

PHASES = {
    "blocked": N_("waiting for a connection"),
    "dns": N_("name lookup"),
    "connect": N_("connecting"),
    "ssl": N_("TLS"),
    "send": N_("sending"),
    "wait": N_("waiting for the answer"),
    "receive": N_("receiving"),
}
"""HAR's phases in the order in which they pass; `ssl` is a part of `connect`, at its end."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase: where it begins and how wide it is, in percent of the axis."""

    phase: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Row:
    """One request: where it lies and what it is called there. `told` is what the bars show, in words."""

    folder: str
    name: str
    whole_url: str
    status: str
    size: str
    start: str
    took: str
    failed: bool
    bars: Sequence[Bar]
    told: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    step: str
    name: str
    title: str
    summary: str
    ticks: Sequence[tuple[float, str]]
    rows: Sequence[Row]
    note: str


@dataclass(frozen=True, slots=True)
class PageLoads:
    """A step's page loads: those that are drawn, and what is to be said about the others."""

    step: str
    waterfalls: Sequence[Waterfall]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Request:
    """One entry of an archive. `start` in seconds after the first entry's, phases in seconds."""

    url: str
    status: int
    error: str
    size: int | None
    start: float
    phases: Mapping[str, float]

    @property
    def time(self) -> float:
        return sum(seconds for name, seconds in self.phases.items() if name != "ssl")


def page_loads(report: Report, artifacts: Mapping[str, bytes], reader: Reader) -> list[PageLoads]:
    """The steps that kept page loads, each with its waterfalls."""
    found = (_of_step(step, artifacts, reader) for step in report.steps)
    return [loads for loads in found if loads is not None]


def legend(reader: Reader) -> list[tuple[str, str]]:
    """(phase, its name) in the order of the bars."""
    return [(phase, reader.words.gettext(name)) for phase, name in PHASES.items()]


def _of_step(step: Step, artifacts: Mapping[str, bytes], reader: Reader) -> PageLoads | None:
    kept = named_by(step)
    if not kept:
        return None
    drawn: list[Waterfall] = []
    missing = 0
    for artifact in kept:
        log = log_of(artifact, artifacts)
        waterfall = None if log is None else _waterfall(step, artifact, log, reader)
        if waterfall is None:
            missing += 1
        else:
            drawn.append(waterfall)
        if len(drawn) == MOST_LOADS:
            break
    _ = reader.words.gettext
    notes = []
    if missing:
        text = reader.words.ngettext(
            "the file of {n} page load is not at hand: it lies beside the report where that was made",
            "the files of {n} page loads are not at hand: they lie beside the report where that was made",
            missing,
        )
        notes.append(text.format(n=missing))
    if len(kept) > len(drawn) + missing:
        notes.append(
            _("the first {shown} of {total} page loads; --format har has them all").format(
                shown=len(drawn), total=len(kept)
            )
        )
    return PageLoads(plain(step.key), drawn, notes)


def _waterfall(step: Step, artifact: Artifact, log: Mapping[str, Any], reader: Reader) -> Waterfall | None:
    """None where the archive holds no request that could be drawn."""
    _ = reader.words.gettext
    requests = sorted(_requests(log), key=lambda request: request.start)
    if not requests:
        return None
    end = max(request.start + request.time for request in requests) or 1e-3
    listed = requests[:MOST_REQUESTS]
    more = len(requests) - len(listed)
    pages = records(log.get("pages"))
    title = plain(pages[0].get("title") or "") if pages else ""
    bytes_moved = sum(request.size or 0 for request in requests)
    count = reader.words.ngettext("{n} request", "{n} requests", len(requests)).format(n=len(requests))
    failed = sum(_failed(request) for request in requests)
    summary = [count, shown(float(bytes_moved), "By"), duration(end)]
    if failed:
        summary.append(reader.words.ngettext("{n} failed", "{n} failed", failed).format(n=failed))
    return Waterfall(
        step=plain(step.key),
        name=plain(artifact.name),
        title=shorten(title or plain(requests[0].url), _LONGEST_TITLE),
        summary=" · ".join(summary),
        ticks=[
            (100 * t / end, duration(t) if t else "0")
            for t in time_ticks(0.0, end, _TICKS)
            if t <= _LAST_TICK * end
        ],
        rows=[_row(request, end, reader) for request in listed],
        note=_("and {n} more requests, which began later").format(n=more) if more else "",
    )


def _row(request: _Request, end: float, reader: Reader) -> Row:
    _ = reader.words.gettext
    url = plain(request.url)
    told = [f"{_(PHASES[phase])} {duration(seconds)}" for phase, seconds in request.phases.items() if seconds]
    if request.error:
        told.append(plain(request.error))
    address = shorten(_beside(url), _LONGEST_NAME)
    bare = address.rstrip("/")
    folder = bare[: bare.rfind("/") + 1]
    return Row(
        folder=folder,
        name=address[len(folder) :],
        whole_url=shorten(url, 2000),
        status=_status(request, reader),
        size=MISSING if request.size is None else shown(float(request.size), "By"),
        start=duration(request.start) if request.start else "0",
        took=duration(request.time),
        failed=_failed(request),
        bars=list(_bars(request, end)),
        told=", ".join(told),
    )


def _status(request: _Request, reader: Reader) -> str:
    """Why there is no whole answer, in a word or two; else the answer's status."""
    if request.error:
        error_class = request.error.partition("/")[0]
        return shorten(reader.words.of(ERROR_CLASSES, error_class), _LONGEST_NAME)
    return str(request.status) if request.status else MISSING


def _bars(request: _Request, end: float) -> Iterator[Bar]:
    position = request.start
    for phase, seconds in request.phases.items():
        begin = position
        if phase == "ssl":
            begin = max(request.start, position - seconds)
        else:
            position += seconds
        if seconds > 0:
            yield Bar(phase, round(100 * begin / end, 3), round(100 * seconds / end, 3))


def _beside(url: str) -> str:
    """What tells one request from another: host and path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.netloc}{parts.path}{'?' if parts.query else ''}{parts.query}" if parts.netloc else url


def _failed(request: _Request) -> bool:
    return bool(request.error) or request.status == 0 or request.status >= 400


def _requests(log: Mapping[str, Any]) -> Iterator[_Request]:
    """The entries that have an instant; the earliest one begins at 0."""
    dated = [(entry, _instant(entry.get("startedDateTime"))) for entry in records(log.get("entries"))]
    first = min((instant for _entry, instant in dated if instant is not None), default=0.0)
    for entry, instant in dated:
        if instant is None or instant - first > _LONGEST:
            continue
        request, response = record(entry.get("request")), record(entry.get("response"))
        status = response.get("status")
        yield _Request(
            url=str(request.get("url") or ""),
            status=status if isinstance(status, int) else 0,
            error=str(response.get("_error") or ""),
            size=_size(response),
            start=instant - first,
            phases=_phases(record(entry.get("timings"))),
        )


def _phases(timings: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of each phase that occurred; HAR has milliseconds, and -1 for what did not occur."""
    found = {name: timings.get(name) for name in PHASES}
    return {
        name: value / 1000
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST * 1000
    }


def _size(response: Mapping[str, Any]) -> int | None:
    """Bytes of the body as they came over the wire, else as the page has them."""
    for value in (response.get("bodySize"), record(response.get("content")).get("size")):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
            return value
    return None


def _instant(stamp: object) -> float | None:
    """Seconds since 1970 of an ISO 8601 stamp."""
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
