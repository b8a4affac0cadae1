"""The samples of a step's attempts, pooled for each target, and the metrics made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ots.model.metric import Metric, MetricDef, Value
from ots.model.outcome import QualityFlag
from ots.probe import AttemptData
from ots.stats import summary


@dataclass(frozen=True, slots=True)
class Pool:
    """All attempts at one target, or at many where `target` is empty. Attempts that are no evidence
    (`invalid`) only count as such."""

    target: str
    attempts: Sequence[AttemptData]

    @property
    def labels(self) -> dict[str, str]:
        return {"target": self.target} if self.target else {}

    @property
    def valid(self) -> list[AttemptData]:
        return [attempt for attempt in self.attempts if attempt.outcome in ("success", "failure")]

    @property
    def method(self) -> dict[str, Value | None]:
        """What the attempts said about how they measured; the last word of each counts."""
        return {fact: value for attempt in self.attempts for fact, value in attempt.method.items()}

    @property
    def flags(self) -> list[QualityFlag]:
        return list(dict.fromkeys(flag for attempt in self.attempts for flag in attempt.flags))

    def values(self, key: str) -> list[Value | None]:
        """The observations of a key, of invalid attempts only those that were made."""
        return [
            value
            for attempt in self.attempts
            for value in attempt.values(key)
            if value is not None or attempt.outcome in ("success", "failure")
        ]

    def statistics(self, definition: MetricDef) -> Metric:
        """The declared statistics over all observations."""
        return summary.of_samples(
            definition,
            self.values(definition.key),
            labels=self.labels,
            method=self.method,
            flags=self.flags,
        )

    def total(self, definition: MetricDef) -> Metric:
        """The sum of all observations; null where there was none."""
        numbers = [value for value in self.values(definition.key) if isinstance(value, int | float)]
        return summary.of_value(
            definition,
            sum(numbers) if numbers else None,
            n=len(numbers),
            reason=None if numbers else "no_samples",
            labels=self.labels,
            method=self.method,
            flags=self.flags,
        )

    def lost(self, definition: MetricDef, key: str) -> Metric:
        """The ratio of the observations of `key` that are missing."""
        values = self.values(key)
        return summary.of_ratio(
            definition,
            values.count(None),
            len(values),
            labels=self.labels,
            method=self.method,
            flags=self.flags,
        )


def by_target(attempts: Sequence[AttemptData], pool_above: int | None = None) -> list[Pool]:
    """One pool for each target, in the order in which they were first tried; one of all together if there
    are more targets than `pool_above`."""
    pools: dict[str, list[AttemptData]] = {}
    for attempt in attempts:
        pools.setdefault(attempt.target, []).append(attempt)
    if pool_above is not None and len(pools) > pool_above:
        return [Pool("", attempts)]
    return [Pool(target, mine) for target, mine in pools.items()]
