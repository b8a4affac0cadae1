"""A job as people and as programs read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from ots.commands.columns import cells, padded
from ots.commands.output import print_json
from ots.i18n import _, ngettext
from ots.reports.plain import plain
from ots.store import Entry
from ots.store.jobs import RATES, TEXTS, JobRecord, Jobs
from ots.units import display

_VERDICTS = ("pass", "warn", "fail", "measured", "error", "skipped", "running")


def show(record: JobRecord, entries: Sequence[Entry], *, as_json: bool) -> None:
    """The job and what was measured on it."""
    if as_json:
        print_json({"job": document(record), "reports": _counted(entries)})
        return
    click.echo("\n".join([*lines(record), *summary(entries)]))


def document(record: JobRecord) -> dict[str, Any]:
    """The job as JSON; every key is always there, times are RFC 3339 UTC."""
    return {
        "id": record.id,
        "state": _state(record),
        **{name: getattr(record, name) for name in (*TEXTS, *RATES)},
        "started": record.started,
        "finished": record.finished,
        "notes": [{"time": note.time, "text": note.text} for note in record.notes],
    }


def lines(record: JobRecord) -> list[str]:
    """The job for a person: who, where, what for, the rates, the notes."""
    since = _("open since {time}").format(time=local(record.started))
    if record.finished is not None:
        since = _("{start} to {end}").format(start=local(record.started), end=local(record.finished))
    labels = {
        "customer": _("Customer"),
        "site": _("Site"),
        "engineer": _("Engineer"),
        "purpose": _("Purpose"),
        "plan": _("Plan"),
    }
    facts = [(label, plain(getattr(record, name))) for name, label in labels.items() if getattr(record, name)]
    if rates(record):
        facts.append((_("Subscribed"), rates(record)))
    facts += [(_("Note"), f"{local(note.time)}  {plain(note.text)}") for note in record.notes]
    width = max((cells(label) for label, _text in facts), default=0)
    return [
        f"{_('Job')} {plain(record.id)}   {since}",
        *(f"  {padded(label, width)}  {text}" for label, text in facts),
    ]


def one_line(record: JobRecord) -> str:
    """The job in the start screen and above a list of reports."""
    who = [plain(text) for text in (record.customer, record.site) if text]
    state = _("open since {time}") if record.finished is None else _("finished {time}")
    pieces = [
        plain(record.id),
        *who,
        rates(record),
        state.format(time=local(record.finished or record.started)),
    ]
    return "   ".join(piece for piece in pieces if piece)


def rates(record: JobRecord) -> str:
    """`▼ 100 Mbit/s  ▲ 20 Mbit/s`, as far as they are known."""
    marks = zip("▼▲", (getattr(record, name) for name in RATES), strict=True)
    return "  ".join(f"{mark} {display(rate, 'bit/s')}" for mark, rate in marks if rate is not None)


def summary(entries: Sequence[Entry]) -> list[str]:
    """How many reports, how they ended, and which numbers they have."""
    if not entries:
        return [_("no report of it yet")]
    count = ngettext("{n} report", "{n} reports", len(entries)).format(n=len(entries))
    verdicts = _counted(entries)["verdicts"]
    ended = "  ".join(f"{number} {_(verdict)}" for verdict, number in verdicts.items() if number)
    numbers = sorted(entry.seq for entry in entries)
    span = f"#{numbers[0]}" if len(numbers) == 1 else f"#{numbers[0]}–#{numbers[-1]}"
    return [f"{count}   {ended}   {span}"]


def rows(jobs: Jobs, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Every job as JSON, the newest first; `state` is null for one that only reports know."""
    counts = Counter(entry.job for entry in entries if entry.job is not None)
    first = {entry.job: entry.start for entry in entries}
    known = [
        {
            "id": record.id,
            "state": _state(record),
            "customer": record.customer,
            "site": record.site,
            "started": record.started,
            "finished": record.finished,
            "reports": counts.pop(record.id, 0),
        }
        for record in jobs.jobs
    ]
    others = [
        {
            "id": job,
            "state": None,
            "customer": None,
            "site": None,
            "started": first[job],
            "finished": None,
            "reports": number,
        }
        for job, number in counts.items()
    ]
    return sorted([*known, *others], key=lambda row: str(row["started"]), reverse=True)


def table(listed: Sequence[dict[str, Any]]) -> list[str]:
    """The rows of `ots job list`."""
    states = {"open": _("open"), "finished": _("finished"), None: _("only in reports")}
    shown = [
        (
            plain(row["id"]),
            local(row["started"]),
            states[row["state"]],
            ngettext("{n} report", "{n} reports", row["reports"]).format(n=row["reports"]),
            "  ".join(plain(row[name]) for name in ("customer", "site") if row[name]),
        )
        for row in listed
    ]
    widths = [max(cells(row[column]) for row in shown) for column in range(5)]
    return ["  ".join(map(padded, row, widths)).rstrip() for row in shown]


def local(stamp: str) -> str:
    """A stamp in the reader's own time, to the minute; as it stands if it is none."""
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return stamp


def _state(record: JobRecord) -> str:
    return "open" if record.finished is None else "finished"


def _counted(entries: Sequence[Entry]) -> dict[str, Any]:
    counts = Counter("running" if entry.running else entry.verdict or "error" for entry in entries)
    return {
        "count": len(entries),
        "verdicts": {verdict: counts[verdict] for verdict in _VERDICTS},
        "seqs": sorted(entry.seq for entry in entries),
    }
