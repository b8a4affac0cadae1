"""What went on around the calls of a step's probe, and the grade of its figures that follows from that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from ots.engine.environment import Environment
from ots.engine.lag import LagWindow
from ots.engine.planner import PlannedStep
from ots.engine.recorder import AttemptRecorder
from ots.model.metric import Metric
from ots.model.validity import Validity
from ots.probe import Route, Target
from ots.stats import distribution
from ots.stats.circumstances import Circumstances, Passage
from ots.stats.validity import graded


class Passages:
    """Looks around at both ends of each call."""

    def __init__(self, planned: PlannedStep, environment: Environment) -> None:
        self._probe = planned.probe
        self._route: Route = getattr(planned.step.params, "route", Route())
        self._env = environment
        self._seen: list[Passage] = []

    @contextmanager
    def call(self, targets: Sequence[Target]) -> Iterator[None]:
        """Holds what passes through the machine during the block against what the run's probes book."""
        use, clock = self._env.budget.use, self._env.clock
        with closing(self._env.surroundings(targets, self._route)) as around:
            began, received, sent = clock.monotonic(), use.received_bytes, use.sent_bytes
            try:
                yield
            finally:
                passage = Passage(
                    clock.monotonic() - began,
                    around.end(),
                    use.received_bytes - received,
                    use.sent_bytes - sent,
                    len(targets),
                )
                self._seen.append(passage)

    def validity(
        self,
        succeeded: Sequence[AttemptRecorder],
        metrics: Sequence[Metric],
        lags: LagWindow,
        *,
        concurrent: bool,
    ) -> Validity | None:
        """The grade of the attempts that succeeded; None where nothing of them is graded."""
        around = Circumstances(
            attachments=len({recorder.context for recorder in succeeded}),
            concurrent=concurrent,
            passages=self._seen,
            lag=distribution.compute("p95", sorted(lags.lags))[0],
            stood_still=lags.late_share(),
        )
        return graded(succeeded, around, latency=self._latency(metrics))

    def _latency(self, metrics: Sequence[Metric]) -> float | None:
        """The least median round trip of any target, in seconds."""
        medians = [metric.stats.get("median") for metric in metrics if metric.key == self._probe.round_trip]
        return min((float(median) for median in medians if isinstance(median, int | float)), default=None)
