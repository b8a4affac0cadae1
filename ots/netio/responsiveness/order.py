"""What passes between the process that times and the one that loads, a JSON line each."""

from __future__ import annotations

from typing import Literal

import msgspec

from ots.model.report import Error
from ots.probe import Address


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to load with: HTTP/1.1 requests to one address."""

    direction: Literal["down", "up"]
    ip: str
    family: Literal["4", "6"]
    scope: int
    port: int
    host: str
    """The Host header."""
    server_name: str
    path: str
    tls: bool
    verify: bool
    ca_file: str | None
    interface: str | None
    source: str | None
    timeout: float

    @property
    def address(self) -> Address:
        return Address(self.ip, self.family, self.host, 0.0, self.scope)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the load stands at `t` (monotonic). `round_trips` are TCP's, of each connection that is alive;
    `cpu` is the loading process's processor time. `failures` are all so far."""

    t: float
    bytes: int
    alive: int
    round_trips: list[float]
    failures: list[Error]
    cpu: float


NOTHING = Standing(t=0.0, bytes=0, alive=0, round_trips=[], failures=[], cpu=0.0)
