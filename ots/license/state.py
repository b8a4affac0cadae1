"""How a licence stands at a moment, for an agent. Pure: the moment is an argument, all times are UTC.

Intervals are half-open: at `not_after` to the microsecond a licence no longer holds, and its grace begins.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ots.license.document import Licence, Revocations, moment
from ots.license.tiers import DAY

State = Literal[
    "valid",
    "refresh-due",
    "grace",
    "expired",
    "not-yet-valid",
    "revoked",
    "revocations-missing",
    "binding-mismatch",
    "serial-rollback",
    "bad-signature",
    "unknown-key",
    "malformed",
]

HONOURED: frozenset[State] = frozenset({"valid", "refresh-due", "grace"})
"""In these a licence grants what it names; in every other state `default` holds."""

SKEW = 300.0
"""Seconds by which the issuer's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who wants to use a licence: the agent, and the project and department it was enrolled for."""

    agent_id: str
    department: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the licence: what was withdrawn, and the newest serial that was in force.

    `complete` is false where a revocation list that was here is gone, or an older one took its place.
    """

    lists: Sequence[Revocations] = ()
    withdrawn: frozenset[str] = frozenset()
    newest_serial: int = 0
    complete: bool = True


def state_of(licence: Licence, holder: Holder, now: float, known: Known) -> State:
    """The state at `now` (trusted seconds since 1970) of a licence whose signature holds."""
    if not _bound_to(licence, holder):
        return "binding-mismatch"
    if licence.licence_id in known.withdrawn or any(
        revocations.names(licence, holder.agent_id) for revocations in known.lists
    ):
        return "revoked"
    newest = max((revocations.serial for revocations in known.lists), default=0)
    if not known.complete or newest < licence.revocation_min:
        return "revocations-missing"
    if licence.serial < known.newest_serial:
        return "serial-rollback"
    return _in_time(licence, now)


def _in_time(licence: Licence, now: float) -> State:
    end = moment(licence.not_after)
    if now < moment(licence.not_before) or now + SKEW < moment(licence.issued_at):
        return "not-yet-valid"
    if now >= end + licence.grace_days * DAY:
        return "expired"
    if now >= end:
        return "grace"
    if licence.refresh_after is not None and now >= moment(licence.refresh_after):
        return "refresh-due"
    return "valid"


def ends(licence: Licence) -> float:
    """When the licence stops being honoured, grace included; seconds since 1970."""
    return moment(licence.not_after) + licence.grace_days * DAY


def refresh_at(licence: Licence, chance: random.Random) -> float | None:
    """When an agent asks for a newer licence: anywhere between `refresh_after` and `not_after`.

    Spread evenly, so that agents whose licences were made together don't all ask at once. A `chance` made
    from the agent's id gives the same moment at every start.
    """
    if licence.refresh_after is None:
        return None
    return chance.uniform(moment(licence.refresh_after), moment(licence.not_after))


def _bound_to(licence: Licence, holder: Holder) -> bool:
    binding, subject = licence.binding, licence.subject
    if binding.kind == "agents":
        return holder.agent_id in binding.agents
    if binding.kind == "project":
        department = subject.department in (None, holder.department)
        return department and holder.project is not None and holder.project == subject.project
    return True
