"""What a policy says to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

RefusalCode = Literal[
    "damaged",
    "held",
    "issuer",
    "hours",
    "duration",
    "kind",
    "secret",
    "file",
    "target",
    "sweep",
    "consent",
    "rate",
    "packets",
    "flows",
    "bytes",
    "bytes_per_day",
    "too_often",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something may not be done. `step` is its key, None where the whole run is meant."""

    code: RefusalCode
    text: str
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`allowed` if at least one step may run; `start_delay` are seconds to wait before it does."""

    allowed: bool
    reasons: tuple[Refusal, ...] = ()
    start_delay: float = 0.0

    def of(self, step: str) -> Sequence[Refusal]:
        """Why a step may not run: its own reasons, then those of the whole run."""
        own = [reason for reason in self.reasons if reason.step == step]
        return own + [reason for reason in self.reasons if reason.step is None]
