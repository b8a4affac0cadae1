"""The parameters that transfers share, whatever the protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ots.i18n import N_
from ots.netio.transfer.watch import Box
from ots.probe import Params
from ots.schema.quantity import Duration, Ratio, Size
from ots.stats.throughput import Warmup

DURATION = 10.0
SIZE_LIMIT = 120.0
"""Seconds that a transfer may take that is bounded by its size alone."""


class TransferParams(Params):
    """What every transfer needs to know. Time-boxed unless only a size is given."""

    duration: Annotated[
        Duration | None,
        Field(
            gt=0,
            le=86400,
            description=N_("How long all connections transfer; 10 s unless a size is given."),
        ),
    ] = None
    size: Annotated[
        Size | None, Field(gt=0, description=N_("Stop after this many bytes, all connections together."))
    ] = None
    connections: Annotated[int, Field(ge=1, le=64, description=N_("TCP connections at once."))] = 1
    stall_limit: Annotated[
        Duration,
        Field(ge=0.1, le=300, description=N_("Fail when a connection moves nothing for this long.")),
    ] = 5.0
    warmup: Annotated[
        Literal["auto", "none"] | Duration,
        Field(description=N_("What the headline leaves out at the start: auto, none or a duration.")),
    ] = "auto"

    stop: Annotated[
        Literal["duration", "stable", "budget"],
        Field(
            description=N_(
                "What ends it: the duration or size; stable, earlier, once the rate has settled; budget, "
                "earlier, when the run's data budget is used up."
            )
        ),
    ] = "duration"
    stable_band: Annotated[
        Ratio,
        Field(gt=0, le=0.5, description=N_("How far four intervals may lie from their mean (stop: stable).")),
    ] = 0.05

    @model_validator(mode="after")
    def _warmup_fits(self) -> TransferParams:
        seconds = self.warmup if isinstance(self.warmup, float) else 0.0
        if seconds < 0 or (self.duration is not None and seconds >= self.duration):
            raise ValueError("warmup must be shorter than duration")
        return self

    @model_validator(mode="after")
    def _stop_has_time(self) -> TransferParams:
        if self.stop != "duration" and self.size is not None and self.duration is None:
            raise ValueError(f"stop: {self.stop} needs a duration beside the size")
        return self

    @property
    def box(self) -> Box:
        stable = self.stable_band if self.stop == "stable" else None
        budget = self.stop == "budget"
        if self.size is not None:
            limit = None if self.duration else SIZE_LIMIT
            return Box(self.duration, self.size, limit, stable=stable, budget=budget)
        return Box(self.duration or DURATION, stable=stable, budget=budget)

    @property
    def expected(self) -> float:
        """Seconds that an attempt takes unless something is in the way."""
        return self.box.duration or self.box.limit or SIZE_LIMIT

    @property
    def warmup_rule(self) -> Warmup:
        if isinstance(self.warmup, float):
            return Warmup(self.warmup, auto=False)
        return Warmup(auto=self.warmup == "auto")
