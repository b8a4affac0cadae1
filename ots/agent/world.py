"""What the planner has to know of this machine: its way out, its licence, what holds it."""

from __future__ import annotations

from ots.config import Settings
from ots.netio.attachment.routing import default_way
from ots.schedule.state import World
from ots.session import hold
from ots.session.link_budget import NO_LINK, budgets
from ots.session.rights import present_rights


def link_of(settings: Settings) -> str:
    """The interface that names are reached through: the settings', else the default route's."""
    if settings.interface is not None:
        return settings.interface
    ways = (default_way(family) for family in ("4", "6"))
    return next((way.interface for way in ways if way is not None and way.interface), NO_LINK)


def world_of(settings: Settings, running: frozenset[str] = frozenset()) -> World:
    """What holds around the schedules of this machine; `running` are those with a run that goes on.

    Raises SettingsError.
    """
    floor = present_rights().limit("schedule_floor_seconds")
    held = hold.held(settings.data_dir)
    return World(settings.agent_id, floor, budgets(settings), None if held is None else str(held), running)
