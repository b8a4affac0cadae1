"""One row of the accuracy table: what was true, what OTS said, what a reference tool said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """Values are in `unit`. `truth` None: no truth is known, OTS is held against the reference.

    `tolerance` bounds |ots - truth|; None: OTS must not be worse than the reference, by the `slack`. With
    `never_above` OTS must not exceed the truth by more than that, in `unit`.
    """

    section: str
    condition: str
    figure: str
    unit: str
    truth: float
    ots: float | None
    reference: str = ""
    said: float | None = None
    tolerance: float | None = None
    slack: float = 0.0
    never_above: float | None = None
    why: str = ""
    """Why there is no figure of OTS's."""

    @property
    def error(self) -> float | None:
        return None if self.ots is None else self.ots - self.truth

    @property
    def reference_error(self) -> float | None:
        return None if self.said is None else self.said - self.truth

    @property
    def met(self) -> bool:
        if self.error is None:
            return False
        if self.tolerance is not None and abs(self.error) > self.tolerance:
            return False
        if self.never_above is not None and self.error > self.never_above:
            return False
        if self.reference_error is not None:
            bound = abs(self.reference_error) + (self.slack if self.tolerance is None else self.tolerance)
            return abs(self.error) <= bound
        return True


Section = Callable[[], Iterator[Row]]
