"""The order: one word for "run this", whoever says it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ots.policy.issuer import Issuer

Origin = Literal["schedule", "assignment", "command"]


class CaseReference(msgspec.Struct, kw_only=True, frozen=True):
    """Which case: by name, and as exactly as whoever orders wants it."""

    name: str
    version: int | None = None
    sha256: str | None = None


class Order(msgspec.Struct, kw_only=True, frozen=True):
    """One run that is to happen at most once.

    `order_id` is a UUID: the command's id, or for a planned run the same one after every restart. Times are
    seconds since 1970 by this machine's clock, `max_duration` is in seconds. `thresholds` (step id → list)
    replace the case's; none: the case's hold.
    """

    order_id: str
    origin: Origin
    issuer: Issuer
    case: CaseReference
    parameters: dict[str, str] = {}
    thresholds: dict[str, list[Any]] = {}
    planned_at: float | None = None
    not_before: float
    not_after: float
    max_duration: float
    tags: dict[str, str] = {}
    assignment_id: str | None = None
    group_run_id: str | None = None
