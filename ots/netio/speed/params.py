"""The parameters of a speed test, each with its limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ots.i18n import N_
from ots.netio.http.params import HTTPParams
from ots.netio.speed.server import ProtocolName, Server
from ots.netio.transfer.watch import Box
from ots.schema.quantity import Duration
from ots.stats.throughput import Warmup

Direction = Literal["down", "up"]

SET_UP = 15.0
"""Seconds that greeting, choice of the server and round trips take at most, beside their own time-outs."""


class SpeedParams(HTTPParams):
    """Parameters of `speedtest`."""

    protocol: Annotated[
        ProtocolName | Literal["auto"],
        Field(description=N_("What the server speaks; auto asks it.")),
    ] = "auto"
    directions: Annotated[
        Literal["both", "down", "up"], Field(description=N_("What to measure beside round trips."))
    ] = "both"
    duration: Annotated[
        Duration, Field(ge=1, le=120, description=N_("How long each direction runs with all connections."))
    ] = 10.0
    connections: Annotated[
        Literal["auto"] | int,
        Field(description=N_("TCP connections at once, 1 to 64; auto adds some as long as that helps.")),
    ] = "auto"
    max_connections: Annotated[
        int, Field(ge=1, le=64, description=N_("Most connections that auto opens."))
    ] = 16
    count: Annotated[int, Field(ge=2, le=500, description=N_("Round trips that are timed without load."))] = (
        20
    )
    interval: Annotated[
        Duration, Field(ge=0.0, le=5, description=N_("Time between two of these round trips."))
    ] = 0.05
    warmup: Annotated[
        Literal["auto", "none"] | Duration,
        Field(description=N_("What the headline leaves out at the start: auto, none or a duration.")),
    ] = "auto"
    stall_limit: Annotated[
        Duration,
        Field(ge=0.5, le=60, description=N_("Fail when a connection moves nothing for this long.")),
    ] = 5.0
    busy_wait: Annotated[
        Duration, Field(ge=0, le=600, description=N_("Longest wait for a free place at a busy server."))
    ] = 30.0
    candidates: Annotated[
        int, Field(ge=1, le=50, description=N_("How many servers of the list are tried at most."))
    ] = 5
    servers: Annotated[
        tuple[Server, ...],
        Field(max_length=200, description=N_("The servers that auto chooses from; else the list's.")),
    ] = ()

    @model_validator(mode="after")
    def _fits(self) -> SpeedParams:
        if self.connections != "auto" and not 1 <= self.connections <= 64:
            raise ValueError("connections is auto or a number from 1 to 64")
        seconds = self.warmup if isinstance(self.warmup, float) else 0.0
        if seconds < 0 or seconds >= self.duration:
            raise ValueError("warmup must be shorter than duration")
        return self

    @property
    def wanted(self) -> tuple[Direction, ...]:
        return ("down", "up") if self.directions == "both" else (self.directions,)

    @property
    def box(self) -> Box:
        return Box(self.duration)

    @property
    def warmup_rule(self) -> Warmup:
        if isinstance(self.warmup, float):
            return Warmup(self.warmup, auto=False)
        return Warmup(auto=self.warmup == "auto")

    @property
    def growth_limit(self) -> float:
        """Seconds that adding connections may take."""
        return min(5.0, self.duration / 2)

    @property
    def expected(self) -> float:
        """Seconds that it takes unless something is in the way."""
        return len(self.wanted) * (self.duration + 1.0) + self.count * self.interval + 1.0

    @property
    def longest(self) -> float:
        """Seconds that it takes at most: the wait for a place, and every phase of every server timing out."""
        each = self.duration + self.growth_limit + self.stall_limit + 5 * self.timeout
        latency = self.count * (self.interval + self.timeout)
        return (
            len(self.wanted) * each
            + min(latency, 60.0 + self.count * self.interval)
            + self.busy_wait
            + (SET_UP + 3 * self.timeout * self.candidates)
        )
