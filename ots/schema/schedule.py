"""When a case runs: a period, or cron times in a time zone."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from ots.schema.case import Schedule
from ots.schema.place import Place
from ots.schema.shape import check
from ots.schema.written import ScheduleWritten
from ots.strictyaml import suggest


def read_schedule(data: Any, place: Place) -> Schedule | None:
    """The schedule, or None after noting every problem."""
    written = check(ScheduleWritten, data, place, "a schedule")
    if written is None:
        return None
    schedule = Schedule(written.every, written.cron, written.zone)
    if (schedule.every is None) == (schedule.cron is None):
        place.problem((), "a schedule needs either every or cron")
        return None
    if schedule.cron is None:
        if schedule.zone is not None:
            place.problem(("zone",), "a time zone goes with cron: take it out", key=True)
            return None
        return schedule
    fine = _check_cron(schedule.cron, place)
    return schedule if _check_zone(schedule.zone, place) and fine else None


def _check_cron(text: str, place: Place) -> bool:
    if len(text.split()) != 5:
        place.problem(
            ("cron",),
            f"cron has five fields (minute hour day month weekday), such as '*/15 * * * *', not {text!r}",
        )
        return False
    try:
        next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        reason = str(error).lower() or "it never comes"
        place.problem(("cron",), f"{text!r} is no cron time: {reason}")
        return False
    return True


def _check_zone(name: str | None, place: Place) -> bool:
    if name is None:
        place.problem((), "cron needs its time zone: write zone: Asia/Shanghai")
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        place.problem(
            ("zone",), f"unknown time zone {name[:60]!r}{suggest(name, zoneinfo.available_timezones())}"
        )
        return False
    return True
