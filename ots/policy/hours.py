"""The hours of the day in which something may run, in a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start` until before `end`, in minutes of the local day. With an end not behind the start they
    go over midnight, and belong to the day on which they begin."""

    start: int
    end: int
    zone: str
    days: frozenset[str] = frozenset(DAYS)

    def hold(self, moment: float) -> bool:
        """Whether this moment (seconds since 1970) lies in them."""
        local = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        begun_today = today in self.days and minute >= self.start
        return begun_today or (yesterday in self.days and minute < self.end)

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else " " + ",".join(day for day in DAYS if day in self.days)
        return f"{_clock(self.start)}-{_clock(self.end)}{days} {self.zone}"


def minutes(text: str) -> int:
    """Minutes since midnight of `07:30`; `24:00` is the day's end. ValueError says what is wrong."""
    match = _TIME.fullmatch(text)
    found = int(match[1]) * 60 + int(match[2]) if match else 1441
    if found > 1440:
        raise ValueError(f"{text!r} is no time of day: write it like 22:00")
    return found


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
