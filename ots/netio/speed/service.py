"""What every protocol of speed tests offers: the one interface behind which they stand."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import ClassVar

from ots.netio.http.dialer import Way
from ots.netio.speed.load import Load
from ots.netio.speed.params import SpeedParams
from ots.netio.speed.server import ProtocolName
from ots.probe import Context, Failed, Target

MAX_BUSY_WAIT = 3600.0


class Busy(Failed):
    """The server measures for others now. `wait` is how long it asks us to wait, in seconds."""

    def __init__(self, wait: float, message: str) -> None:
        super().__init__("rejected", "request", "BUSY", message, retryable=True)
        self.wait = max(0.0, min(wait, MAX_BUSY_WAIT))


@dataclass(frozen=True, slots=True)
class Visit:
    """What a protocol needs for one server in one attempt."""

    ctx: Context
    target: Target
    params: SpeedParams
    way: Way


class Service(abc.ABC):
    """One server by one protocol, during one attempt.

    `open` comes first and `close` always last; what is between may be left out. Every method raises `Failed`
    where the server fails, `Busy` where it has no place.
    """

    protocol: ClassVar[ProtocolName]
    round_trip_method: ClassVar[str] = "http"
    """How `round_trips` takes its figure; an HTTP round trip holds the server's own time too."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit

    @abc.abstractmethod
    async def open(self) -> None:
        """Finds out whether the server is there, and takes a place where it gives places."""

    @abc.abstractmethod
    def round_trips(self, count: int, interval: float) -> AsyncIterator[float]:
        """Seconds of each round trip over one connection whose set-up isn't in it."""

    @abc.abstractmethod
    async def download(self, load: Load) -> None:
        """Runs a download into the load until it is over."""

    @abc.abstractmethod
    async def upload(self, load: Load) -> None:
        """Runs an upload into the load until it is over."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Gives back what `open` took. Never raises what the server does wrong."""


ServiceMaker = Callable[[Visit], Service]
