"""The monthly budgets of links: what a run takes of which link, and whether it still may.

What runs unattended is held to them; what a person runs is counted with it and never refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ots import units
from ots.config import Settings, SettingsError
from ots.engine.planner import Plan, PlannedStep
from ots.netio.attachment.snapshot import way_out
from ots.probe import Route
from ots.schedule.state import Budget
from ots.session.link_record import BeyondBudget, LinkRecord, LinkRecordError

log = logging.getLogger("ots.session")

NO_LINK = "none"

_MOST_TARGETS = 16
"""Targets of a step whose ways are asked for; of more, the first ones stand for all."""


def budgets(settings: Settings) -> dict[str, Budget]:
    """The budget of each link that has one. Raises SettingsError for one that can't be read."""
    return {link: _budget(link, text) for link, text in settings.budget.items()}


def _budget(link: str, text: str) -> Budget:
    size, _, day = text.partition(" from ")
    try:
        found = Budget(int(units.parse(size.strip(), "size")), int(day or 1))
        if not 1 <= found.day <= 28:
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"budget.{link}: {text[:40]!r} is no budget.", "Write it like '5 GB from 15' (days 1 to 28)."
        ) from None
    return found


def moves_over(plan: Plan) -> dict[str, int | None]:
    """The most bytes that one cycle moves over each interface as the ways are now; None: nobody can say."""
    found: dict[str, int | None] = {}
    for row in plan.steps:
        most = _most(row)
        for link in _links(row):
            before = found.get(link, 0)
            found[link] = None if before is None or most is None else before + most
    return found


def main_link(plan: Plan) -> str:
    """The interface that a plan is about: where a step wants one for itself, else where it moves most."""
    for row in plan.steps:
        if row.probe.exclusive == "link":
            return _links(row)[0]
    found = moves_over(plan)
    return max(found, key=lambda link: _weight(found[link]), default=NO_LINK)


@contextmanager
def within_budgets(run: str, plan: Plan, settings: Settings, seconds: float) -> Iterator[int | None]:
    """Sets aside for at most so many seconds what a run may move; gives the most that it may move in all.

    Raises BeyondBudget where it may not run.
    """
    stated, wanted = budgets(settings), moves_over(plan)
    if not stated.keys() & wanted.keys():
        yield None
        return
    try:
        record, now = LinkRecord(settings.data_dir), time.time()
        try:
            limit = record.set_aside(run, wanted, stated, now, now + seconds)
        except BaseException:
            record.close()
            raise
    except LinkRecordError as error:
        raise BeyondBudget(f"what the links have moved can't be recorded: {error}") from None
    try:
        yield limit
    finally:
        try:
            record.let_go(run, time.time())
        except LinkRecordError as error:
            log.warning("What was set aside for a run stays so until its time is over: %s", error)
        finally:
            record.close()


def check_budgets(plan: Plan, settings: Settings) -> None:
    """Raises BeyondBudget where a run of the plan would now. Nothing is set aside."""
    stated, wanted = budgets(settings), moves_over(plan)
    if not stated.keys() & wanted.keys():
        return
    try:
        record = LinkRecord(settings.data_dir)
        try:
            record.check(wanted, stated, time.time())
        finally:
            record.close()
    except LinkRecordError as error:
        raise BeyondBudget(f"what the links have moved can't be read: {error}") from None


def _weight(most: int | None) -> float:
    return float("inf") if most is None else most


def _most(row: PlannedStep) -> int | None:
    received, sent = row.estimate.received, row.estimate.sent
    return None if received is None or sent is None else received + sent


def _links(row: PlannedStep) -> list[str]:
    """The interfaces towards a step's targets, as the lock on a link sees them."""
    route: Route = getattr(row.step.params, "route", Route())
    ways = [way_out(target, route) for target in row.step.targets[:_MOST_TARGETS]]
    return list(dict.fromkeys(NO_LINK if way is None else way.interface for way in ways)) or [NO_LINK]
