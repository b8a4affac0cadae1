"""The parameters of `responsiveness`; the defaults are the draft's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ots.i18n import N_
from ots.probe import NetworkParams
from ots.schema.quantity import Duration
from ots.stats.responsiveness import DISTANCE

Direction = Literal["down", "up"]

_CHILD_START = 10.0


class ResponsivenessParams(NetworkParams):
    """Parameters of `responsiveness`."""

    directions: Annotated[
        Literal["both", "down", "up"], Field(description=N_("Which ways are loaded, one after the other."))
    ] = "both"
    interval: Annotated[
        Duration,
        Field(
            ge=0.2, le=30, description=N_("How often it looks whether goodput and round trips are stable.")
        ),
    ] = 5.0
    duration: Annotated[
        Duration,
        Field(ge=0.5, le=600, description=N_("Longest load each way; it ends earlier once all is stable.")),
    ] = 50.0
    max_connections: Annotated[
        int, Field(ge=1, le=64, description=N_("Most load connections; one is added each interval."))
    ] = 16
    count: Annotated[
        int, Field(ge=2, le=500, description=N_("Round trips that are timed without load before it."))
    ] = 20
    timeout: Annotated[
        Duration, Field(ge=0.1, le=300, description=N_("Longest wait for each phase of a connection."))
    ] = 5.0
    stall_limit: Annotated[
        Duration, Field(ge=0.5, le=60, description=N_("Fail when the load moves nothing for this long."))
    ] = 5.0
    download: Annotated[str, Field(description=N_("Path of a large object, below the target's."))] = (
        "speed/down"
    )
    upload: Annotated[str, Field(description=N_("Path that takes an endless POST, below the target's."))] = (
        "speed/up"
    )
    small: Annotated[str, Field(description=N_("Path of a tiny object, below the target's."))] = "speed/empty"
    verify: Annotated[bool, Field(description=N_("Check the server's certificate."))] = True
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None

    @field_validator("download", "upload", "small")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isascii() or any(letter <= " " or letter == "\x7f" for letter in value):
            raise ValueError("a path has no spaces and nothing but ASCII: write others as %XX")
        return value

    @property
    def wanted(self) -> tuple[Direction, ...]:
        return ("down", "up") if self.directions == "both" else (self.directions,)

    @property
    def expected(self) -> float:
        """Seconds if all is stable soon."""
        each = min(self.duration, 2 * DISTANCE * self.interval)
        return len(self.wanted) * (each + 1.5) + self.count * 0.06 + 0.5

    @property
    def longest(self) -> float:
        each = self.duration + self.interval + self.stall_limit + 2 * self.timeout + _CHILD_START
        return len(self.wanted) * each + self.timeout * (4 + self.count)
