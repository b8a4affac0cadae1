"""Round trips while the link is full: responsiveness in round trips a minute, and how far the queue grows."""

from __future__ import annotations

from collections.abc import Sequence

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.responsiveness.params import ResponsivenessParams
from ots.netio.responsiveness.test import ResponsivenessTest
from ots.probe import AttemptData, Context, Estimate, Probe, Target, Targets
from ots.probes import _responsiveness_metrics as published
from ots.stats.responsiveness import DISTANCE


class Responsiveness(Probe):
    """One server, one direction after the other."""

    kind = "responsiveness"
    version = 1
    summary = N_("Round trips under load: responsiveness (RPM), bufferbloat grade, goodput each way.")
    example = "http://127.0.0.1:8080/"
    targets = Targets(forms=("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))
    Params = ResponsivenessParams
    metrics = published.METRICS
    exclusive = "link"

    def estimate(self, targets: Sequence[Target], params: ResponsivenessParams) -> Estimate:
        received = None if "down" in params.wanted else 1 << 20
        sent = None if "up" in params.wanted else 1 << 20
        return Estimate(params.expected, received, sent, params.longest)

    def warnings(self, targets: Sequence[Target], params: ResponsivenessParams) -> list[str]:
        if params.duration < DISTANCE * params.interval:
            return [_("duration is shorter than four intervals: the confidence can only be low")]
        return []

    def samples_planned(
        self, metric: str, targets: Sequence[Target], params: ResponsivenessParams
    ) -> int | None:
        if metric in (published.IDLE_RTT.key, published.IDLE_HTTP.key):
            return params.count
        return None if metric in published.OF_PROBES else 1

    async def run(self, ctx: Context, targets: Sequence[Target], params: ResponsivenessParams) -> None:
        await ResponsivenessTest(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: ResponsivenessParams) -> list[Metric]:
        return published.summarise(attempts)
