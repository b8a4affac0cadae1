"""The tiers, as data: what each grants, and its numbers. Pure.

What a person starts at the machine with the kinds of `default` is never limited by a licence. The numbers
bind what runs unattended (schedules, runs that a server asks for) and what a server keeps. A licence may
change its tier's numbers and add or take features, but nobody is ever left with less than `default`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from ots.i18n import N_

Tier = Literal["default", "friendly", "professional"]
TIERS: tuple[Tier, ...] = get_args(Tier)
"""The weakest first."""

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Feature:
    """A function or, with `*`, a family of them; `tier` is the weakest that grants it."""

    name: str
    tier: Tier
    title: str


FEATURES: tuple[Feature, ...] = (
    Feature("probe:video_*", "friendly", N_("video")),
    Feature("probe:ott_*", "friendly", N_("models of over-the-top applications")),
    Feature("probe:voice_*", "professional", N_("voice calls and voice menus")),
    Feature("probe:sms_*", "professional", N_("short messages")),
    Feature("probe:mms_*", "professional", N_("multimedia messages")),
    Feature("probe:modem_*", "professional", N_("what only a modem can measure")),
    Feature("probe:monitor_*", "professional", N_("monitoring of resources and applications")),
    Feature("probe:*", "default", N_("every other kind, a third party's too")),
    Feature("export:*", "default", N_("reports in every format")),
    Feature("schedule", "default", N_("runs by a schedule")),
    Feature("upload", "default", N_("upload of reports")),
    Feature("upload:artifacts", "friendly", N_("upload of the files that a report names")),
    Feature("remote-run", "friendly", N_("runs of the server's cases that the server asks for")),
    Feature("remote-run:own-cases", "professional", N_("runs of cases that come with the request")),
    Feature("bulk-export", "friendly", N_("many reports at once from the server")),
    Feature("api-token", "professional", N_("the server's API for programs of one's own")),
)
"""The first that fits counts."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that a tier sets; None is no limit. `least` says that a smaller number grants more."""

    name: str
    title: str
    values: Mapping[Tier, float | None]
    least: bool = False


LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit(
            "schedule_floor_seconds",
            N_("seconds between two runs of a schedule, at least"),
            {"default": 900, "friendly": 60, "professional": 10},
            least=True,
        ),
        Limit(
            "concurrent_steps",
            N_("steps at the same time, unattended"),
            {"default": 2, "friendly": 8, "professional": 64},
        ),
        Limit(
            "packets_per_second",
            N_("packets per second, unattended"),
            {"default": 20, "friendly": 200, "professional": 2000},
        ),
        Limit(
            "bytes_per_day",
            N_("bytes per day, unattended"),
            {"default": 200e6, "friendly": 5e9, "professional": 100e9},
        ),
        Limit(
            "reports_per_day",
            N_("uploaded reports per day"),
            {"default": 20, "friendly": None, "professional": None},
        ),
        Limit(
            "retention_days",
            N_("days that the server keeps a report"),
            {"default": 7, "friendly": 90, "professional": 400},
        ),
        Limit(
            "agents_per_run",
            N_("agents in one run of several"),
            {"default": 1, "friendly": 10, "professional": None},
        ),
    )
}


def feature_of(name: str) -> Feature | None:
    """The row that a feature's name falls under; None if there is none."""
    return next((row for row in FEATURES if fnmatchcase(name, row.name)), None)


def granted_from(name: str) -> Tier | None:
    """The weakest tier that grants a feature; None if none does."""
    row = feature_of(name)
    return None if row is None else row.tier


def grants(tier: Tier, name: str) -> bool:
    """Whether a tier by itself grants a feature."""
    weakest = granted_from(name)
    return weakest is not None and TIERS.index(tier) >= TIERS.index(weakest)


def more_generous(name: str, one: float | None, other: float | None) -> float | None:
    """Of two values of a limit the one that grants more."""
    if one is None or other is None:
        return None
    return min(one, other) if LIMITS[name].least else max(one, other)
