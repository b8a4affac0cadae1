"""A probe from outside: opens a TCP connection, times it, and hangs up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ots.model.metric import Metric, MetricDef
from ots.probe import AttemptData, Context, Estimate, NetworkParams, Probe, Target, Targets
from ots.schema.quantity import Duration
from ots.stats.summary import of_samples

KNOCK_SECONDS = MetricDef(
    "knock_seconds",
    "s",
    "attempt",
    "Time until the door opens",
    "From the SYN to the established connection.",
    stats=("median", "min", "max"),
    better="lower",
)


class KnockParams(NetworkParams):
    """How patiently to knock."""

    timeout: Annotated[Duration, Field(gt=0, le=60, description="Give up after this long.")] = 3.0


class Knock(Probe):
    """One attempt is one connection."""

    kind = "knock"
    version = 1
    summary = "Opens a TCP connection and times it."
    example = "127.0.0.1:8080"
    targets = Targets(forms=("host:port",))
    Params = KnockParams
    metrics = (KNOCK_SECONDS,)

    def estimate(self, targets: Sequence[Target], params: KnockParams) -> Estimate:
        return Estimate(duration=params.timeout * len(targets), received=200, sent=200)

    async def run(self, ctx: Context, targets: Sequence[Target], params: KnockParams) -> None:
        (target,) = targets
        address = await ctx.net.resolve(target.host, params.route, timeout=params.timeout)
        start = ctx.clock.monotonic()
        connection = await ctx.net.dial(address, target.port or 0, params.route, timeout=params.timeout)
        ctx.record("knock_seconds", ctx.clock.monotonic() - start)
        connection.close()

    def summarise(self, attempts: Sequence[AttemptData], params: KnockParams) -> list[Metric]:
        times = [value for attempt in attempts for value in attempt.values("knock_seconds")]
        return [of_samples(KNOCK_SECONDS, times)]
