"""Small kinds of measurement for the tests of cases, so that these depend on no probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ots.model.metric import L_STATS, MetricDef
from ots.schema.quantity import Duration, Rate, Ratio, Secret, Size
from ots.schema.target import Target, Targets


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KnockParams(_Params):
    count: Annotated[int, Field(ge=1, le=10_000, description="How many knocks.")] = 20
    interval: Annotated[Duration, Field(ge=0.001, le=60, description="From knock to knock.")] = 0.2
    timeout: Annotated[Duration, Field(gt=0, description="How long to wait.")] = 2.0
    family: Annotated[Literal["auto", "4", "6"], Field(description="Address family.")] = "auto"
    verify: Annotated[bool, Field(description="Check the answer.")] = True
    interface: Annotated[str | None, Field(description="Send through this interface.")] = None


class FetchParams(_Params):
    duration: Annotated[Duration, Field(gt=0, description="For how long.")] = 10.0
    size: Annotated[Size | None, Field(ge=1, description="How much at most.")] = None
    rate: Annotated[Rate | None, Field(description="How fast at most.")] = None
    share: Annotated[Ratio, Field(ge=0, le=1, description="Of the link.")] = 0.5
    connections: Annotated[int, Field(ge=1, le=64, description="At once.")] = 4
    headers: Annotated[dict[str, str], Field(description="Sent along.")] = {}


class LoginParams(_Params):
    user: Annotated[str, Field(description="Who.")]
    password: Annotated[Secret | None, Field(description="The secret's name.")] = None
    words: Annotated[list[str], Field(description="What to look for.")] = []


@dataclass(frozen=True)
class FakeEstimate:
    duration: float
    received: int | None = 0
    sent: int | None = 0


@dataclass(frozen=True)
class FakeKind:
    """A kind whose samples are its `count`, where it has one."""

    kind: str
    Params: type[BaseModel]
    targets: Targets
    metrics: tuple[MetricDef, ...]
    exclusive: str = "none"
    round_trip: str | None = None
    version: int = 1
    summary: str = "Does nothing."
    example: str = "192.0.2.1"

    def estimate(self, targets: Sequence[Target], params: Any) -> FakeEstimate:
        return FakeEstimate(getattr(params, "duration", 0.0) + getattr(params, "count", 0) * 0.1)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        return None if metric.endswith("_interval_bits_per_second") else getattr(params, "count", 1)

    def warnings(self, targets: Sequence[Target], params: Any) -> list[str]:
        slow = getattr(params, "timeout", 0) > getattr(params, "count", 1) * getattr(params, "interval", 1)
        return ["timeout is longer than all knocks together"] if slow else []


def _metric(key: str, unit: str, kind: Any, stats: tuple[str, ...]) -> MetricDef:
    return MetricDef(key, unit, kind, key, key, stats)


KNOCK = FakeKind(
    "knock",
    KnockParams,
    Targets(("host", "network"), many=True),
    (
        _metric("knock_rtt_seconds", "s", "sample", L_STATS),
        _metric("knock_packet_loss_ratio", "1", "aggregate", ("value",)),
        _metric("knock_duplicates", "{packet}", "aggregate", ("value",)),
        _metric("knock_state", "", "state", ("value", "distinct")),
        _metric("sweep_rtt_seconds", "s", "sample", L_STATS),
        _metric("sweep_hosts_up", "{host}", "aggregate", ("value",)),
        _metric("knock_jitter_seconds", "s", "aggregate", ("value",)),
        _metric("knock_jitter_rfc3550_seconds", "s", "aggregate", ("value",)),
    ),
)
FETCH = FakeKind(
    "fetch_page",
    FetchParams,
    Targets(("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443))),
    (
        _metric("fetch_page_throughput_bits_per_second", "bit/s", "attempt", ("median", "p10", "min", "max")),
        _metric("fetch_page_interval_bits_per_second", "bit/s", "series", ("median", "p05", "p95")),
        _metric("fetch_page_bytes", "By", "attempt", ("value",)),
        _metric("fetch_page_goodput_ratio", "1", "attempt", ("value",)),
    ),
    exclusive="link",
    example="http://192.0.2.1/",
)
LOGIN = FakeKind(
    "login",
    LoginParams,
    Targets(("host:port",), default_port=22),
    (_metric("login_seconds", "s", "sample", L_STATS),),
)
BURN = FakeKind("burn", _Params, Targets(("host",)), (), exclusive="host")

KINDS = {kind.kind: kind for kind in (KNOCK, FETCH, LOGIN, BURN)}
