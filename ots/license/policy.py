"""What a licence allows. Pure; consulted by the planner before anything runs.

A tier refuses a feature or grants it; it never slows or alters a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Layer = Literal["settings", "licence"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a feature may not be used: which layer says no, and the tier that would allow it.

    `place` is where the settings switch it off; `allowed_by` is None where no tier would help.
    """

    feature: str
    tier: str
    allowed_by: str | None
    layer: Layer = "licence"
    place: str | None = None


class Entitlement(Protocol):
    """The questions that are asked before a run. Features of probes are named `probe:<kind>`."""

    def refusal(self, feature: str) -> Refusal | None:
        """None if it may be used."""
        ...

    def limit(self, name: str) -> float | None:
        """A number of `ots.license.tiers.LIMITS`; None where there is no limit."""
        ...

    def record(self, wall: float) -> dict[str, Any]:
        """The licence as a report names it: `tier`, `licence_id`, `serial`, and its `state` when the
        machine's clock says `wall`; null but for the tier where none is installed."""
        ...


class Everything:
    """Refuses nothing: for code that is to be tried without a licence's say."""

    def refusal(self, feature: str) -> Refusal | None:
        return None

    def limit(self, name: str) -> float | None:
        return None

    def record(self, wall: float) -> dict[str, Any]:
        return {"tier": None, "licence_id": None, "serial": None, "state": None}
