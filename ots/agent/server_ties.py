"""What binds a running agent to the server that it belongs to: commands, assignments, signed content."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from ots.agent.assignment_duty import AssignmentDuty
from ots.agent.content_duty import ContentDuty
from ots.agent.duties import Duties
from ots.agent.ledger import Ledger
from ots.agent.order import Order
from ots.agent.remote_control import RemoteControl
from ots.agent.runs import Runs
from ots.remote.identity import identity
from ots.remote.membership import Membership, MembershipError, read_membership
from ots.session.rights import present_rights

log = logging.getLogger("ots.agent")


class ServerTies:
    """Made while the agent belongs to a server. `planned_anew` hears of new assignments, `beside` takes work
    that nobody waits for."""

    def __init__(
        self,
        folder: Path,
        membership: Membership,
        ledger: Ledger,
        runs: Runs,
        *,
        planned_anew: Callable[[], None],
        beside: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        who = identity(folder)
        self._server_id = membership.server_id
        self._control = RemoteControl(folder, membership, who, ledger, Duties(), runs, present_rights)
        self._assigned = AssignmentDuty(folder, membership, who, planned_anew)
        self._content = ContentDuty(folder)
        hints: Mapping[str, Callable[[], None]] = {
            "assignments": self._assigned.soon,
            "sync": self._content.soon,
            "licence": lambda: beside(self._control.refresh),
        }
        self._control.obedience.on_hint = lambda what: hints[what]()

    def listen(self, *, line_is_back: Callable[[], None], reported: Callable[[], None]) -> None:
        """Who hears that there is a line again, and that a command has left a report."""
        self._control.obedience.on_line = line_is_back
        self._control.on_report = reported

    def begin(self, waiting: Sequence[Order]) -> list[asyncio.Task[None]]:
        """The tasks that keep them, until they are cancelled; `waiting` are orders that had not begun."""
        commanded = [
            order
            for order in waiting
            if order.origin == "command" and order.issuer.server_id == self._server_id
        ]
        return [
            asyncio.create_task(self._control.run(commanded), name="control"),
            asyncio.create_task(self._assigned.run(), name="assignments"),
            asyncio.create_task(self._content.run(), name="content"),
        ]


def membership_of(folder: Path) -> Membership | None:
    """The server that the agent works with now; None where there is none, or it was left."""
    try:
        found = read_membership(folder)
    except MembershipError as error:
        log.warning("The agent works without its server: %s", error)
        return None
    return found if found is not None and found.status in ("active", "pending") else None


def place_of(membership: Membership | None) -> tuple[str, ...] | None:
    """What tells one place on a server from another."""
    if membership is None:
        return None
    return membership.url, membership.server_id, membership.agent_id, membership.ca or ""
