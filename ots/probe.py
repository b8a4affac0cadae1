"""The probe contract: what a probe declares, what it may touch while it runs, and how it says that it failed.

A probe is one class in one module of `ots.probes` (or of a third party, by the entry point `ots.probes`):

    class Knock(Probe):
        kind = "knock"                      # the module's name
        version = 1                         # goes into every result
        summary = "Opens a TCP connection and times it."
        example = "127.0.0.1:443"           # a target as one would type it
        targets = Targets(forms=("host:port",))
        Params = KnockParams                # a pydantic model: type, default, unit, range, help of each field
        metrics = (KNOCK_SECONDS,)          # declared keys

        def estimate(self, targets, params): ...      # pure: how long, how many bytes
        async def run(self, ctx, targets, params): ... # only measures: records samples through ctx
        def summarise(self, attempts, params): ...     # pure: samples -> metrics

A failing target is a result: `run` raises `Failed`. Every other exception is a bug in the probe. What `run`
recorded before it failed, timed out or was cancelled is kept, and `summarise` sees it. Timeouts,
cancellation, exclusivity, data budget and licence belong to the engine; a probe never retries.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ots.clock import Clock
from ots.model.metric import Metric, MetricDef, Value
from ots.model.outcome import ErrorClass, Outcome, Phase, QualityFlag
from ots.model.report import Error
from ots.schema.target import Target, Targets

if TYPE_CHECKING:
    import ipaddress
    import socket
    import ssl

__all__ = [
    "Address",
    "AttemptData",
    "Context",
    "Estimate",
    "Exclusive",
    "Failed",
    "Family",
    "Guard",
    "Lack",
    "Net",
    "NetworkParams",
    "Params",
    "Probe",
    "Requirement",
    "Route",
    "Sample",
    "Target",
    "Targets",
]

Exclusive = Literal["none", "link", "host"]
Family = Literal["auto", "4", "6"]
Lack = Literal["right", "program", "extra", "device"]
T = TypeVar("T")


class Failed(Exception):
    """The target failed, or could not be measured. A result, not a bug.

    `code` is the raw protocol or system code (`ECONNREFUSED`, `NXDOMAIN`, `404`). `remedy` tells the reader
    what to do about it.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        phase: Phase,
        code: str,
        message: str = "",
        *,
        retryable: bool = False,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message or f"{error_class} in phase {phase}: {code}")
        self.error = Error(
            class_=error_class,
            phase=phase,
            code=code,
            message=message or code,
            retryable=retryable,
            remedy=remedy,
        )


class Params(BaseModel):
    """Base of every probe's parameters: closed and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Route:
    """Which way out: address family, interface by name, source address."""

    family: Family = "auto"
    interface: str | None = None
    source: str | None = None


class NetworkParams(Params):
    """The parameters that every probe with a socket has."""

    family: Annotated[Family, Field(description="Address family; auto takes the first address found.")] = (
        "auto"
    )
    interface: Annotated[str | None, Field(description="Send through this interface only, by name.")] = None
    source: Annotated[str | None, Field(description="Send from this local address.")] = None

    @property
    def route(self) -> Route:
        return Route(self.family, self.interface, self.source)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a measurement will need.

    `duration` is what it takes when the target answers as targets do, in seconds; `longest` is what it may
    take when every wait runs into its time-out (`duration`, if not given). `received` and `sent` bound the
    bytes each way (None: not bounded).
    """

    duration: float
    received: int | None = 0
    sent: int | None = 0
    longest: float | None = None

    @property
    def patience(self) -> float:
        """The longer of the two times."""
        return self.duration if self.longest is None else max(self.duration, self.longest)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something the machine must have. `missing()` says why it isn't there, or None if it is.

    A missing right ends the step `error`; a missing program, extra or device skips it. Either way the reader
    gets `remedy`.
    """

    lack: Lack
    name: str
    missing: Callable[[], str | None]
    remedy: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation; `value` is None where it is missing, and `reason` says why."""

    t: float
    value: Value | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptData:
    """What one attempt recorded, as `summarise` sees it.

    `series` maps (key, labels) to samples; labels are sorted pairs and don't contain the target.
    `method` holds what the probe said about how it measured, `tally` what it counted by itself.
    """

    index: int
    cycle: int
    target: str
    outcome: Outcome
    error: Error | None
    t: float
    duration: float
    triggers: Mapping[str, float]
    series: Mapping[tuple[str, tuple[tuple[str, str], ...]], Sequence[Sample]]
    method: Mapping[str, Value | None]
    flags: Sequence[QualityFlag]
    tally: object = None

    def samples(self, key: str, **labels: str) -> Sequence[Sample]:
        """The samples of one key with exactly these labels."""
        return self.series.get((key, tuple(sorted(labels.items()))), ())

    def values(self, key: str, **labels: str) -> list[Value | None]:
        return [sample.value for sample in self.samples(key, **labels)]

    def label_sets(self, key: str) -> list[dict[str, str]]:
        """All label sets under which this key was recorded."""
        return [dict(labels) for name, labels in self.series if name == key]

    def between(self, start: str, stop: str) -> float | None:
        """Seconds from one trigger to another, or None if either did not happen."""
        if start in self.triggers and stop in self.triggers:
            return self.triggers[stop] - self.triggers[start]
        return None


@dataclass(frozen=True, slots=True)
class Address:
    """One address that a name resolved to. `lookup` is the seconds that took (0: it was a literal)."""

    ip: str
    family: Literal["4", "6"]
    name: str
    lookup: float = 0.0
    scope: int = 0

    def sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        return (self.ip, port) if self.family == "4" else (self.ip, port, 0, self.scope)


@dataclass(frozen=True, slots=True)
class TLSStream:
    """A finished handshake: the wrapped socket and what was negotiated."""

    socket: ssl.SSLSocket
    seconds: float
    version: str
    cipher: str
    alpn: str | None
    facts: Mapping[str, Value | None] = field(default_factory=dict)


class Guard(Protocol):
    """Who says where a run's packets may go, and how many. May be asked from any thread.

    Everything it refuses is a `Failed`, class `permission`, code `POLICY`.
    """

    def permit(self, address: Address, port: int | None = None) -> None:
        """Refuses an address; without a port it is about packets that have none, or the port comes later."""
        ...

    def permit_network(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        """Refuses to sweep a network."""
        ...

    def permit_stream(self, address: Address | None, rate: float, packets: int) -> None:
        """Refuses what is sent at a fixed rate (a second) where nobody can be asked for each packet."""
        ...

    def permit_by_proxy(self, host: str, port: int) -> None:
        """Refuses a host that a proxy would look up and call."""
        ...

    def choose(self, host: str, port: int) -> None:
        """This machine's own settings name this host and port (its resolver, its proxy): permitted."""
        ...

    def vouch(self, host: str, others: Sequence[str]) -> None:
        """A server names others that do its work: they are trusted as it is."""
        ...

    def room(self, address: Address, packets: int = 1) -> bool:
        """Books packets; False, and nothing booked, if they have to wait. Refuses what is too much."""
        ...

    def send(self, address: Address, packets: int = 1) -> None:
        """Books packets that can't wait."""
        ...

    def opened(self, sock: socket.socket) -> None:
        """Counts a connection for as long as it is open."""
        ...

    def unwatched(self, what: str) -> None:
        """Refuses what sends by itself, beyond every control."""
        ...


class Net(Protocol):
    """The network as a probe sees it: one address at a time, every phase named, no retry, no happy eyeballs.

    Every method marks its trigger points in the attempt and raises `Failed` with the right class and phase.
    """

    @property
    def guard(self) -> Guard | None:
        """To be asked by whoever sends without `resolve` and `dial`; None: everything may leave."""
        ...

    async def resolve(self, host: str, route: Route, *, timeout: float) -> Address:
        """The one address to measure. Marks `resolve_start`, `resolved`."""
        ...

    async def dial(self, address: Address, port: int, route: Route, *, timeout: float) -> socket.socket:
        """A connected non-blocking TCP socket. Marks `connect_start`, `connected`."""
        ...

    async def tls(
        self,
        connection: socket.socket,
        server_name: str,
        context: ssl.SSLContext,
        *,
        timeout: float,
        session: ssl.SSLSession | None = None,
    ) -> TLSStream:
        """Shakes hands over a connected socket. Marks `tls_start`, `tls_done`.

        `session` is one of the same context to resume, where the protocol asks for it.
        """
        ...

    def udp(self, address: Address, route: Route, port: int | None = None) -> socket.socket:
        """An unconnected non-blocking UDP socket of the address's family, bound as the route says."""
        ...

    def bind(self, sock: socket.socket, route: Route) -> None:
        """Ties any socket to the route's interface and source address."""
        ...


class Budget(Protocol):
    """The data that may still be moved."""

    def spend(self, *, received: int = 0, sent: int = 0) -> None:
        """Books bytes; raises `Failed` (class `resource`) once the budget is used up."""
        ...


class Log(Protocol):
    """Lines that are kept with the result."""

    def debug(self, text: str) -> None: ...
    def info(self, text: str) -> None: ...
    def warning(self, text: str) -> None: ...


class Context(Protocol):
    """All that `run` may touch."""

    @property
    def clock(self) -> Clock: ...
    @property
    def net(self) -> Net: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def log(self) -> Log: ...
    @property
    def workdir(self) -> Path:
        """A folder for the probe's files, emptied after the run."""
        ...

    @property
    def deadline(self) -> float | None:
        """When the engine will end this attempt, on `clock.monotonic()`."""
        ...

    def record(
        self,
        key: str,
        value: Value | None,
        *,
        target: str | None = None,
        t: float | None = None,
        reason: str | None = None,
        **labels: str,
    ) -> None:
        """Appends one observation. `t` is a monotonic stamp (now if not given); a None value needs a reason.

        `target` names whose attempt it belongs to; needed only when `run` has several targets at once.
        """
        ...

    def mark(
        self, trigger: str, *, t: float | None = None, source: str = "app", target: str | None = None
    ) -> None:
        """Notes a trigger point of the attempt. The first mark of a name counts."""
        ...

    def method(self, *, target: str | None = None, **facts: Value | None) -> None:
        """Says how the measurement was made; stands in every metric of this attempt."""
        ...

    def tally(self, counted: object, *, target: str | None = None) -> None:
        """Hands `summarise` what was counted instead of being recorded, in a run too long to keep it all."""
        ...

    def flag(self, flag: QualityFlag, *, target: str | None = None) -> None:
        """Qualifies the result."""
        ...

    def failed(self, target: str, failure: Failed) -> None:
        """Ends one of several targets' attempts as failed while the others go on."""
        ...

    def artifact(self, name: str, media_type: str, data: bytes) -> None:
        """Keeps a file beside the report."""
        ...

    def progress(self, fraction: float | None, text: str = "") -> None:
        """Shows how far it is (0..1, None: unknown). Cheap; the engine limits the rate.

        The first line of `text` stands beside the bar, further lines below it.
        """
        ...

    def ceiling(self, kind: str, *, tls: bool, connections: int) -> float | None:
        """Bit/s that this machine itself reaches at most, if it has been calibrated."""
        ...

    def secret(self, reference: str) -> str:
        """The value behind `${secret:name}`; never recorded."""
        ...

    async def thread(self, function: Callable[..., T], *args: Any) -> T:
        """Runs blocking code beside the event loop."""
        ...


class Probe(abc.ABC):
    """One kind of measurement. Stateless: one instance serves every run."""

    kind: ClassVar[str]
    version: ClassVar[int]
    summary: ClassVar[str]
    example: ClassVar[str]
    """A target as one would type it, for help and templates; an address of RFC 5737 or the loopback."""
    targets: ClassVar[Targets]
    Params: ClassVar[type[Params]]
    metrics: ClassVar[tuple[MetricDef, ...]]
    requires: ClassVar[tuple[Requirement, ...]] = ()
    exclusive: ClassVar[Exclusive] = "none"
    round_trip: ClassVar[str | None] = None
    """The key of its round trips, if it has any: under load they are set against those without."""
    direction: ClassVar[Literal["down", "up", "both"]] = "both"
    """Which way it loads the link, for whom runs during it."""

    @abc.abstractmethod
    def estimate(self, targets: Sequence[Target], params: Any) -> Estimate:
        """What one attempt will need. Pure."""

    @abc.abstractmethod
    async def run(self, ctx: Context, targets: Sequence[Target], params: Any) -> None:
        """Measures once. With `targets.many` it gets all targets in one call, else one at a time."""

    @abc.abstractmethod
    def summarise(self, attempts: Sequence[AttemptData], params: Any) -> list[Metric]:
        """Makes the metrics of a step from all its attempts, failed ones too. Pure; copes with none."""

    def warnings(self, targets: Sequence[Target], params: Any) -> list[str]:
        """What is legal and probably not meant, in words. Pure."""
        return []

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        """How many samples of a metric one attempt plans for each label set; None where it can't be known."""
        return 1
