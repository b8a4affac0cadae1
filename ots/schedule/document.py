"""A schedule that is right: when something is to run. `ots.schema.schedule` reads what people write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from ots.schedule.window import Window

CatchUp = Literal["none", "once"]


@dataclass(frozen=True, slots=True)
class Campaign:
    """`runs_per_day` runs on each of `days` days, `min_gap` seconds apart at least, at times that each agent
    draws for itself. `first` is the first day; None: the one after that on which the agent learnt of it."""

    runs_per_day: int
    days: int
    min_gap: float = 0.0
    first: date | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """One of `every` (seconds), `cron` (five fields) and `campaign`; days and hours are those of `zone`.

    Nothing is planned outside the `windows`. `catch_up` says whether one run makes up for those that were
    missed while the machine slept. `spread` (seconds) is how far an agent may be from the moment itself, so
    that not all begin at once; None: anywhere in the period of `every`, and not at all with `cron`.
    """

    every: float | None = None
    cron: str | None = None
    zone: str | None = None
    campaign: Campaign | None = None
    windows: tuple[Window, ...] = ()
    catch_up: CatchUp = "none"
    spread: float | None = None
