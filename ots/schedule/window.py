"""Days and hours in which something may run, such as `mon-fri 08:00-18:00`, in a zone that stands beside.

Schedules and policies mean the same by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_FORM = re.compile(r"(?:([a-z,-]+) +)?(\d\d:\d\d) *- *(\d\d:\d\d)", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_LONGEST_LOOK = 15
"""Days: a window of one weekday comes again after seven, daylight saving or not."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` until before `end`, in minutes of the local day; an end not behind the start is on the
    next day, and the window belongs to the day on which it begins. `days` count from Monday, 0."""

    start: int
    end: int
    days: frozenset[int] = frozenset(range(7))

    def __str__(self) -> str:
        names = "" if len(self.days) == 7 else ",".join(DAYS[day] for day in sorted(self.days)) + " "
        return f"{names}{self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"


def read_window(text: str) -> Window:
    """The window that `text` means. ValueError says what is wrong with it."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text[:60]!r} is no window: write it like mon-fri 08:00-18:00")
    days, start, end = match.groups()
    return window_of(start, end, range(7) if days is None else _days(days))


def window_of(start: str, end: str, days: Iterable[int]) -> Window:
    """The window between two times like `07:30`; it may end at `24:00`. ValueError says what is wrong."""
    return Window(_minutes(start, last=1439), _minutes(end, last=1440), frozenset(days))


def _minutes(text: str, last: int) -> int:
    match = _TIME.fullmatch(text)
    found = last + 1 if match is None else int(match[1]) * 60 + int(match[2])
    if found > last:
        raise ValueError(f"{text[:20]!r} is no time of day: write it like 22:00")
    return found


def _days(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{part!r} is no day: {', '.join(DAYS)}, or mon-fri")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        yield from (day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0)))


def spans(windows: Sequence[Window], zone: str, day: date) -> list[tuple[float, float]]:
    """The times (seconds since 1970) in which the windows that begin on this local day are open, in order
    and without overlap; the whole day if there are no windows. Daylight saving shortens and lengthens them.
    """
    found: list[tuple[float, float]] = []
    for window in windows or (Window(0, 1440),):
        if day.weekday() in window.days:
            start = local_moment(day, window.start, zone)
            until = window.end if window.end > window.start else window.end + 1440
            found.append((start, local_moment(day, until, zone)))
    merged: list[tuple[float, float]] = []
    for start, end in sorted(span for span in found if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def local_moment(day: date, minute: int, zone: str) -> float:
    """The moment of a local time of day; one that daylight saving leaves out is as much later."""
    whole = day + timedelta(days=minute // 1440)
    naive = datetime(whole.year, whole.month, whole.day, minute % 1440 // 60, minute % 60)
    return naive.replace(tzinfo=ZoneInfo(zone)).timestamp()


def local_day(moment: float, zone: str) -> date:
    """The day that the moment is in, there."""
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).date()


def closes(windows: Sequence[Window], zone: str, moment: float) -> float | None:
    """When the window closes that is open at this moment; None if none is."""
    if not windows:
        return float("inf")
    today = local_day(moment, zone)
    for day in (today - timedelta(days=1), today):
        for start, end in spans(windows, zone, day):
            if start <= moment < end:
                return end
    return None


def opens(windows: Sequence[Window], zone: str, moment: float) -> float | None:
    """When the next window opens after this moment; None if none ever does."""
    today = local_day(moment, zone)
    for ahead in range(_LONGEST_LOOK):
        for start, _end in spans(windows, zone, today + timedelta(days=ahead)):
            if start > moment:
                return start
    return None
