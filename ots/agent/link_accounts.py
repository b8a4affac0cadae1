"""What the planner is to know of each link with a budget: what all runs have moved, what is still to come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ots.schedule.state import Budget, Job, State
from ots.session.link_record import FILE, LinkRecord, Use


def uses(folder: Path, budgets: Mapping[str, Budget], now: float) -> dict[str, Use]:
    """The present month of each link that has a budget. Raises LinkRecordError."""
    if not budgets or not (folder / FILE).exists():
        # Made by whoever only asks, it might be closed to the agent's own user.
        return dict.fromkeys(budgets, Use())
    record = LinkRecord(folder)
    try:
        return {link: record.use(link, budget.month(now), now) for link, budget in budgets.items()}
    finally:
        record.close()


def take_over(
    state: State,
    budgets: Mapping[str, Budget],
    found: Mapping[str, Use],
    now: float,
    pending: Mapping[str, Job],
) -> None:
    """Writes into `state` what the links have moved. `pending` (by order) are planned runs that have not
    ended; of those that have begun the record knows what is set aside for them."""
    for link, use in found.items():
        waiting = sum(
            job.bytes or 0
            for order_id, job in pending.items()
            if job.link == link and order_id not in use.aside
        )
        kept = state.link(link)
        kept.month = budgets[link].month(now).isoformat()
        kept.moved = use.moved + sum(use.aside.values()) + waiting
