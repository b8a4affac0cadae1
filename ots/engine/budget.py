"""The data budget of a run: what may still be moved, booked while it moves."""

from __future__ import annotations

import threading

from ots import units
from ots.i18n import N_
from ots.model.report import DataUse, Error
from ots.probe import Estimate, Failed

_REMEDY = N_("raise --max-data, or ask for less")


class DataBudget:
    """Counts the bytes of all probes of a run and stops them at the limit (None: no limit)."""

    def __init__(self, limit: int | None = None) -> None:
        self._spending = threading.Lock()
        self.use = DataUse(limit_bytes=limit)

    @property
    def left(self) -> int | None:
        if self.use.limit_bytes is None:
            return None
        return max(0, self.use.limit_bytes - self.use.received_bytes - self.use.sent_bytes)

    def spend(self, *, received: int = 0, sent: int = 0) -> None:
        with self._spending:
            self.use.received_bytes += received
            self.use.sent_bytes += sent
        if self.left == 0:
            raise Failed(
                "resource",
                "transfer",
                "DATA_BUDGET",
                f"the data budget of {_bytes(self.use.limit_bytes)} is used up",
                remedy=_REMEDY,
            )

    def refusal(self, estimate: Estimate) -> Error | None:
        """Why a step must not start, or None. A step that can't say how much it needs may start."""
        if self.left is None:
            return None
        needed = (estimate.received or 0) + (estimate.sent or 0)
        if self.left > 0 and needed <= self.left:
            return None
        return Error(
            class_="resource",
            phase="config",
            code="DATA_BUDGET",
            message=f"needs up to {_bytes(needed)}, and {_bytes(self.left)} are left of the data budget",
            remedy=_REMEDY,
        )


def _bytes(number: int | None) -> str:
    return units.display(float(number or 0), "By")
