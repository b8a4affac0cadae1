"""What the agent of this machine will do next and why, said without being it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ots.agent import link_accounts
from ots.agent.plans import Planned, all_plans
from ots.agent.presence import read_state
from ots.agent.world import link_of, world_of
from ots.config import Settings
from ots.schedule.placing import Placement, foresee
from ots.schedule.state import State, World
from ots.session.link_record import LinkRecordError, Use

log = logging.getLogger("ots.agent")


@dataclass(frozen=True, slots=True)
class Foresight:
    """The schedules, what becomes of their moments, and what holds around them."""

    plans: Sequence[Planned]
    placements: Sequence[Placement]
    world: World
    state: State
    link: str
    uses: Mapping[str, Use]


def look_ahead(settings: Settings, seconds: float) -> Foresight:
    """What is placed within the next `seconds`. Raises SettingsError."""
    link, now = link_of(settings), time.time()
    world = world_of(settings)
    state = read_state(settings.data_dir)
    plans = all_plans(settings, link)
    try:
        uses = link_accounts.uses(settings.data_dir, world.budgets, now)
        link_accounts.take_over(state, world.budgets, uses, now, {})
    except LinkRecordError as error:
        log.warning("What the links have moved is not known: %s", error)
        uses = {}
    for course in state.courses.values():  # what has passed is the running agent's affair
        course.settled = max(course.settled, now)
    found = foresee([planned.job for planned in plans], state, world, now, now + seconds)
    return Foresight(plans, found, world, state, link, uses)
