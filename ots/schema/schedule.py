"""When a case runs: a period, cron times or a campaign, in windows, in a time zone."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from ots.schedule.document import Campaign, Schedule
from ots.schedule.moments import moments
from ots.schedule.window import Window, read_window, spans
from ots.schema.place import Place
from ots.schema.shape import check
from ots.schema.written import CampaignWritten, ScheduleWritten
from ots.strictyaml import suggest

_SOME_MONDAY = date(2024, 1, 1)


def read_schedule(data: Any, place: Place) -> Schedule | None:
    """The schedule, or None after noting every problem."""
    written = check(ScheduleWritten, data, place, "a schedule")
    if written is None:
        return None
    if sum(each is not None for each in (written.every, written.cron, written.campaign)) != 1:
        place.problem((), "a schedule needs either every or cron, or a campaign")
        return None
    windows = _windows(written.windows, place)
    zoned = written.cron is not None or written.campaign is not None or written.windows is not None
    fine = windows is not None and _check_zone(written.zone, zoned, place)
    fine = (written.cron is None or _check_cron(written.cron, place)) and fine
    if written.campaign is not None and written.spread is not None:
        place.problem(("spread",), "a campaign's times are drawn: take spread out", key=True)
        fine = False
    campaign = None if written.campaign is None else _campaign(written.campaign, place)
    if not fine or windows is None or (written.campaign is not None and campaign is None):
        return None
    if campaign is not None and not _has_room(campaign, windows, place):
        return None
    schedule = Schedule(
        every=written.every,
        cron=written.cron,
        zone=written.zone,
        campaign=campaign,
        windows=windows,
        catch_up=written.catch_up,
        spread=written.spread,
    )
    if windows and campaign is None and next(moments(schedule, "", 0.0, 0.0), None) is None:
        place.problem(("windows",), "no time of the schedule lies in its windows")
        return None
    return schedule


def _windows(texts: list[str] | None, place: Place) -> tuple[Window, ...] | None:
    found = []
    for text in texts or ():
        try:
            found.append(read_window(text))
        except ValueError as error:
            place.problem(("windows",), str(error))
            return None
    return tuple(found)


def _campaign(written: CampaignWritten, place: Place) -> Campaign | None:
    first = None
    if written.first is not None:
        try:
            first = date.fromisoformat(written.first)
        except ValueError:
            message = f"{written.first[:40]!r} is no day: write it like 2026-03-01"
            place.problem(("campaign", "first"), message)
            return None
    return Campaign(written.runs_per_day, written.days, written.min_gap, first)


def _has_room(campaign: Campaign, windows: tuple[Window, ...], place: Place) -> bool:
    """Whether the runs fit into the fullest day of a week with the gap between them."""
    days = [_SOME_MONDAY.replace(day=number) for number in range(1, 8)]
    room = max(sum(end - start for start, end in spans(windows, "UTC", day)) for day in days)
    if campaign.runs_per_day * campaign.min_gap <= room:
        return True
    text = f"{campaign.runs_per_day} runs with this gap between them don't fit into {room / 3600:g} h"
    place.problem(("campaign", "min_gap"), text)
    return False


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


def _check_zone(name: str | None, needed: bool, place: Place) -> bool:
    if not needed:
        if name is not None:
            place.problem(
                ("zone",), "a time zone goes with cron, a campaign or windows: take it out", key=True
            )
        return name is None
    if name is None:
        place.problem((), "cron, campaign and windows need a time zone: write zone: Asia/Shanghai")
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        place.problem(
            ("zone",), f"unknown time zone {name[:60]!r}{suggest(name, zoneinfo.available_timezones())}"
        )
        return False
    return True
