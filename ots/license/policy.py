"""What a licence allows. Pure; consulted by the planner before anything runs.

A tier refuses a feature or grants it; it never slows or alters a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a feature may not be used, and the tier that would allow it."""

    feature: str
    tier: str
    allowed_by: str


class Entitlement(Protocol):
    """The question that the planner asks. Features of probes are named `probe:<kind>`."""

    def refusal(self, feature: str) -> Refusal | None: ...


class Everything:
    """The entitlement in force until licences are issued: it refuses nothing."""

    def refusal(self, feature: str) -> Refusal | None:
        return None
