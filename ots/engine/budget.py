"""The data budget of a run: what may still be moved, booked while it moves."""

from __future__ import annotations

import threading

from ots import units
from ots.i18n import N_
from ots.model.outcome import ErrorClass
from ots.model.report import DataUse, Error
from ots.probe import Estimate, Failed

_REMEDY = N_("raise --max-data, or ask for less")
_POLICY_REMEDY = N_("ask for less; `ots agent policy show` tells what is allowed")


class DataBudget:
    """Counts the bytes of all probes of a run and stops them at the limit (None: no limit).

    `code` says whose limit it is: the run's own, or the policy's (`POLICY`), which is no lack but a refusal.
    """

    def __init__(self, limit: int | None = None, code: str = "DATA_BUDGET") -> None:
        self._spending = threading.Lock()
        self._code = code
        self._class: ErrorClass = "resource" if code == "DATA_BUDGET" else "permission"
        self._remedy = _REMEDY if code == "DATA_BUDGET" else _POLICY_REMEDY
        self.use = DataUse(limit_bytes=limit)
        self.by_link: dict[str, int] = {}
        """The same bytes by the interfaces that they went over."""

    @property
    def left(self) -> int | None:
        if self.use.limit_bytes is None:
            return None
        return max(0, self.use.limit_bytes - self.use.received_bytes - self.use.sent_bytes)

    def over(self, link: str) -> LinkShare:
        """The budget, for what goes over this interface."""
        return LinkShare(self, link)

    def spend(self, *, received: int = 0, sent: int = 0, link: str = "none") -> None:
        with self._spending:
            self.use.received_bytes += received
            self.use.sent_bytes += sent
            self.by_link[link] = self.by_link.get(link, 0) + received + sent
        if self.left == 0:
            raise Failed(
                self._class,
                "transfer",
                self._code,
                f"the data budget of {_bytes(self.use.limit_bytes)} is used up",
                remedy=self._remedy,
            )

    def refusal(self, estimate: Estimate) -> Error | None:
        """Why a step must not start, or None. A step that can't say how much it needs may start."""
        if self.left is None:
            return None
        needed = (estimate.received or 0) + (estimate.sent or 0)
        if self.left > 0 and needed <= self.left:
            return None
        return Error(
            class_=self._class,
            phase="config",
            code=self._code,
            message=f"needs up to {_bytes(needed)}, and {_bytes(self.left)} are left of the data budget",
            remedy=self._remedy,
        )


class LinkShare:
    """A run's budget as one measurement spends from it."""

    def __init__(self, budget: DataBudget, link: str) -> None:
        self._budget = budget
        self._link = link

    def spend(self, *, received: int = 0, sent: int = 0) -> None:
        self._budget.spend(received=received, sent=sent, link=self._link)


def _bytes(number: int | None) -> str:
    return units.display(float(number or 0), "By")
