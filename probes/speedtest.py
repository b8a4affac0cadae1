"""A speed test: round trips, download and upload against one server, whatever of four protocols it speaks.

The server is a URL, a name of the server list, or `auto`: then the nearest that has room is measured, and the
others stand in for it where it fails. Every protocol gives the same figures (METRICS 3.6); those that one
can't give are null with the reason. Results by different methods (`method.speed_method`) don't compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.speed.params import SpeedParams
from ots.netio.speed.server import PORTS, SCHEMES
from ots.netio.speed.test import SpeedTest
from ots.probe import AttemptData, Context, Estimate, Probe, Target, Targets
from ots.probes._speedtest_metrics import IDLE_RTT, METRICS, SERVER_RTT, summarise


class Speedtest(Probe):
    kind = "speedtest"
    version = 1
    summary = N_("Measures download, upload and round trips against a speed test server.")
    example = "http://192.0.2.1:8080/"
    targets = Targets(forms=("url", "host"), schemes=SCHEMES, default_ports=PORTS)
    Params = SpeedParams
    metrics = METRICS
    exclusive = "link"

    def estimate(self, targets: Sequence[Target], params: SpeedParams) -> Estimate:
        received = None if "down" in params.wanted else 0
        sent = None if "up" in params.wanted else 0
        return Estimate(params.expected, received, sent, params.longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: SpeedParams) -> None:
        await SpeedTest(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: SpeedParams) -> list[Metric]:
        return summarise(attempts)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        if metric == IDLE_RTT.key:
            return int(params.count)
        if metric == SERVER_RTT.key or "_interval_" in metric:
            return None
        return 1
