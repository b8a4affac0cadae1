"""The moments for which a schedule plans runs, in order, right across daylight saving.

Times are seconds since 1970. `seed` is the agent's id with the schedule's: it draws the phase within the
period and a campaign's times, the same ones after every restart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from ots import units
from ots.schedule.document import Campaign, Schedule
from ots.schedule.window import closes, local_day, opens, spans

_UTC = "UTC"
_MOST_OUTSIDE = 500
"""So many moments in a row outside of all windows, and none ever lies in one."""


def fraction(seed: str) -> float:
    """From 0 to below 1, even over many seeds and the same for one."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6], "big") / 2**48


def moments(schedule: Schedule, seed: str, since: float, after: float) -> Iterator[float]:
    """Every planned moment behind `after`. `since` is when the agent learnt of the schedule."""
    if schedule.campaign is not None:
        yield from _of_campaign(schedule, schedule.campaign, seed, since, after)
    elif schedule.every is not None:
        yield from _periodic(schedule, schedule.every, seed, after)
    else:
        zone, outside = schedule.zone or _UTC, 0
        for moment in _of_cron(schedule, seed, after):
            if closes(schedule.windows, zone, moment) is not None:
                yield moment
                outside = 0
            elif (outside := outside + 1) > _MOST_OUTSIDE:
                return


def phase(schedule: Schedule, seed: str) -> float:
    """Seconds by which this agent is behind the moments as they are written."""
    if schedule.every is not None:
        wide = schedule.every if schedule.spread is None else min(schedule.spread, schedule.every)
    else:
        wide = schedule.spread or 0.0
    return math.floor(fraction(seed) * wide * 1000) / 1000


def origin(schedule: Schedule, seed: str, moment: float) -> str:
    """Why the run is planned for this moment and no other."""
    if schedule.campaign is not None:
        plan = schedule.campaign
        return f"one of {plan.runs_per_day} a day for {plan.days} days"
    behind = phase(schedule, seed)
    shift = f", {units.display(behind, 's')} later by this agent's id" if behind else ""
    if schedule.every is not None:
        return f"every {units.display(schedule.every, 's')}{shift}"
    return f"cron {schedule.cron} {schedule.zone}{shift}{_saving(schedule, moment - behind)}"


def _periodic(schedule: Schedule, every: float, seed: str, after: float) -> Iterator[float]:
    behind, zone = phase(schedule, seed), schedule.zone or _UTC
    number, outside = math.floor((after - behind) / every) + 1, 0
    while outside < _MOST_OUTSIDE:
        moment = number * every + behind
        if moment <= after:  # the division was rounded
            number += 1
            continue
        if schedule.windows and closes(schedule.windows, zone, moment) is None:
            opening = opens(schedule.windows, zone, moment)
            if opening is None:
                return
            number, outside = max(number + 1, math.ceil((opening - behind) / every)), outside + 1
            continue
        yield moment
        number, outside = number + 1, 0


def _of_cron(schedule: Schedule, seed: str, after: float) -> Iterator[float]:
    """As cron on Debian has it: a time that daylight saving leaves out is made up for right behind the gap,
    one that comes twice runs the first time; what runs every hour or more often goes by real time."""
    behind = phase(schedule, seed)
    last = after
    for found in CronSim(schedule.cron or "", datetime.fromtimestamp(after - behind, _zone(schedule))):
        moment = found.timestamp() + behind
        if moment > last:
            yield moment
            last = moment


def _saving(schedule: Schedule, moment: float) -> str:
    """What daylight saving did to this time, if anything."""
    local = datetime.fromtimestamp(moment, _zone(schedule))
    wanted = CronSim(schedule.cron or "", local)
    if local.hour not in wanted.hours or local.minute not in wanted.minutes:
        return "; its hour is left out on this day"
    if local.fold == 0 and local.replace(fold=1).utcoffset() != local.utcoffset():
        return "; its hour comes twice on this day"
    return ""


def _of_campaign(
    schedule: Schedule, campaign: Campaign, seed: str, since: float, after: float
) -> Iterator[float]:
    zone = schedule.zone or _UTC
    first = campaign.first or local_day(since, zone) + timedelta(days=1)
    today = local_day(after, zone) - timedelta(days=1)  # a window that goes over midnight
    for number in range(max(0, (today - first).days), campaign.days):
        for moment in _of_day(schedule, campaign, seed, first, number):
            if moment > after:
                yield moment


def _of_day(schedule: Schedule, campaign: Campaign, seed: str, first: date, day_number: int) -> list[float]:
    """The times of a day of the campaign: drawn over what is open, then pushed apart by the gap, half a gap
    from each end so that two days keep it too. A day with too little room has fewer."""
    day, zone = first + timedelta(days=day_number), schedule.zone or _UTC
    open_ = spans(schedule.windows, zone, day)
    if day_number > 0:
        open_ = _behind(spans(schedule.windows, zone, day - timedelta(days=1)), open_)
    room = sum(end - start for start, end in open_)
    gap, wanted = campaign.min_gap, campaign.runs_per_day
    if room == 0:
        return []
    if gap > 0:
        wanted = min(wanted, int(room / gap))
    free = room - wanted * gap
    drawn = sorted(fraction(f"{seed} {day} {number}") for number in range(wanted))
    return [_placed(open_, each * free + (number + 0.5) * gap) for number, each in enumerate(drawn)]


def _behind(
    yesterday: list[tuple[float, float]], today: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """What of today's times comes after yesterday's: a window over midnight is all of the earlier day."""
    over = yesterday[-1][1] if yesterday else 0.0
    return [(max(start, over), end) for start, end in today if end > over]


def _placed(open_: list[tuple[float, float]], into: float) -> float:
    """The moment so many seconds into the time that is open, in whole milliseconds."""
    for start, end in open_:
        if into < end - start:
            return math.floor((start + into) * 1000) / 1000
        into -= end - start
    return open_[-1][1] - 0.001


def _zone(schedule: Schedule) -> ZoneInfo:
    return ZoneInfo(schedule.zone or _UTC)
