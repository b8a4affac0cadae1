"""The lines of `ots report list`: quick for ten thousand reports, so nothing but the index is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from ots.commands.columns import cells, cut
from ots.i18n import _
from ots.reports.plain import plain
from ots.store import Entry, Store

_COLOURS = {"fail": "red", "error": "magenta", "warn": "yellow", "pass": "green", "measured": "cyan"}
_RIGHT = (0, 3)
_LEFT_OUT_SHOWN = 8
_FIELDS = (
    "seq",
    "report_id",
    "revision",
    "agent_id",
    "run_id",
    "state",
    "reason",
    "start",
    "duration",
    "case_id",
    "targets",
    "verdict",
    "job",
    "bytes",
    "stored_bytes",
    "sha256",
    "upload",
    "upload_reason",
)


def lines(entries: Sequence[Entry], *, width: int | None, colour: bool) -> list[str]:
    """One line for each report: number, local time, verdict, duration, case, job, upload, targets.

    `width` is the terminal's; None cuts nothing.
    """
    if not entries:
        return []
    column = dict(zip(Entry._fields, zip(*entries, strict=True), strict=True))
    words = {verdict: _(verdict) for verdict in (*_COLOURS, "skipped", "running")}
    verdicts = [
        words["running"] if state == "running" else words.get(verdict, verdict or "")
        for state, verdict in zip(column["state"], column["verdict"], strict=True)
    ]
    local = _LocalTime()
    shown = _aligned(
        [f"#{seq}" for seq in column["seq"]],
        [local.of(start) for start in column["start"]],
        verdicts,
        [
            f"{duration:.1f} s" if duration is not None else reason or ""
            for duration, reason in zip(column["duration"], column["reason"], strict=True)
        ],
        column["case_id"],
        [job or "" for job in column["job"]],
        _uploads(column["upload"], column["upload_reason"]),
        column["targets"],
    )
    if width is None and not colour:
        return shown
    styles = {words[verdict]: tone for verdict, tone in _COLOURS.items()} if colour else {}
    return [_finished(line, verdict, width, styles) for line, verdict in zip(shown, verdicts, strict=True)]


def documents(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [{name: getattr(entry, name) for name in _FIELDS} for entry in entries]


def _uploads(states: Sequence[str], reasons: Sequence[str | None]) -> list[str]:
    """Where each report stands with the server; nothing where nobody wants it there."""
    words = {
        "none": "",
        "waiting": _("waiting"),
        "sending": _("sending"),
        "sent": _("sent"),
        "parked": _("parked"),
    }
    return [
        f"{words[state]}: {reason}" if reason and state != "none" else words[state] or (reason or "")
        for state, reason in zip(states, reasons, strict=True)
    ]


def sending(store: Store, entry: Entry) -> str | None:
    """Where one report stands with the server, and what of it was left out; None where nobody asks."""
    if entry.upload == "none" and entry.upload_reason is None:
        return None
    from ots.store.outbox import Outbox

    kept = Outbox(store).receipt(entry)
    if entry.upload != "sent" or kept is None:
        return _("Server: {state}").format(state=_uploads([entry.upload], [entry.upload_reason])[0])
    line = _("Server: sent, kept since {time}").format(time=_LocalTime().of(kept.received_at))
    if kept.left_out:
        shown = ", ".join(kept.left_out[:_LEFT_OUT_SHOWN]) + (
            " …" if len(kept.left_out) > _LEFT_OUT_SHOWN else ""
        )
        line += "\n" + _("{n} values were left out of what was sent: {names}").format(
            n=len(kept.left_out), names=plain(shown)
        )
    return line


def _aligned(*columns: Sequence[str]) -> list[str]:
    """Lines of columns, number and duration to the right; a column without anything in it is left out."""
    kept: list[Sequence[str]] = []
    for position, raw in enumerate(columns):
        # One look at the whole column spares ten thousand looks at its cells.
        simple = "".join(raw)
        harmless = simple.isascii() and simple.isprintable()
        texts = raw if harmless else [plain(cell) for cell in raw]
        widths = list(map(len if harmless else cells, texts))
        width = max(widths)
        if position == len(columns) - 1:
            kept.append(texts)
        elif width and position in _RIGHT:
            kept.append([" " * (width - own) + cell for cell, own in zip(texts, widths, strict=True)])
        elif width:
            kept.append([cell + " " * (width - own) for cell, own in zip(texts, widths, strict=True)])
    return ["  ".join(row).rstrip() for row in zip(*kept, strict=True)]


def _finished(line: str, verdict: str, width: int | None, styles: Mapping[str, str]) -> str:
    if width is not None:
        line = cut(line, width)
    tone = styles.get(verdict)
    return line.replace(verdict, click.style(verdict, fg=tone, bold=tone == "red"), 1) if tone else line


class _LocalTime:
    """Stamps in the reader's own zone, to the minute; the zone is asked once for each hour."""

    def __init__(self) -> None:
        self._hours: dict[str, str] = {}

    def of(self, start: str) -> str:
        """The local time of a stamp in UTC; as stored if it is none."""
        hour = start[:13]
        if hour not in self._hours:
            self._hours[hour] = _local_hour(hour)
        known = self._hours[hour]
        return known + start[13:16] if known else _local(start)


def _local_hour(hour: str) -> str:
    """`2026-03-01T08` → `2026-03-01 16`; empty where the zone is not whole hours away, or it is no hour."""
    local = _local(f"{hour}:00:00Z")
    return local[:-3] if local.endswith(":00") and len(local) == 16 else ""


def _local(start: str) -> str:
    try:
        return datetime.fromisoformat(start).astimezone().isoformat(" ", "minutes")[:16]
    except (ValueError, OverflowError):
        return start
