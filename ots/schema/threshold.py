"""A threshold: what must hold for one statistic of one metric, as written and as judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from ots import units
from ots.model.metric import MetricDef, MetricType
from ots.model.outcome import Verdict
from ots.schema.expression import Expression, ExpressionError, weaker
from ots.schema.quantity import Share
from ots.stats import distribution
from ots.strictyaml import suggest


def _limit_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise PydanticCustomError("limit", "a limit says what must hold, in quotes, such as '< 60 ms'")


Limit = Annotated[str, PlainValidator(_limit_text), WithJsonSchema({"type": "string"})]
LossPolicy = Literal["conditional", "infinite"]
OnMissing = Literal["fail", "error", "warn", "pass", "skipped"]

_ALWAYS = ("ci95_low", "ci95_high")
"""Statistics that exist beside the declared ones."""

_DEFAULT_STAT: Mapping[MetricType, str] = {
    "attempt": "median",
    "sample": "median",
    "series": "median",
    "aggregate": "value",
    "state": "value",
}


class ThresholdWritten(BaseModel):
    """One entry of `thresholds:`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Annotated[str, Field(description="Key of a metric that the probe declares.")]
    stat: Annotated[
        str | None, Field(description="Statistic of the metric; median or value if not said.")
    ] = None
    where: Annotated[dict[str, str], Field(description="Judge only label sets with these labels.")] = {}
    warn: Annotated[Limit | None, Field(description="What should hold, such as '< 60 ms'.")] = None
    fail: Annotated[Limit | None, Field(description="What must hold, such as '< 150 ms'.")] = None
    min_samples: Annotated[int | None, Field(ge=1, description="Fewer valid samples can't be judged.")] = None
    on_missing: Annotated[OnMissing, Field(description="Verdict where the value is missing.")] = "error"
    loss_policy: Annotated[
        LossPolicy,
        Field(
            description="infinite: lost samples are infinitely late in percentiles; conditional: left out."
        ),
    ] = "infinite"
    confidence: Annotated[
        Share | None,
        Field(description="Judge a ratio's whole 95 % interval; one across the limit is a warning."),
    ] = None
    abort: Annotated[bool, Field(description="End the run at the first certain breach.")] = False
    id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = None
    reason: Annotated[str | None, Field(description="Why this limit: shown where it is breached.")] = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold that is right: its metric and statistic exist, its limits are in the metric's base unit.

    `confidence` is a share (0.95) or None; `min_samples` is what was asked for.
    """

    id: str
    metric: str
    stat: str
    where: dict[str, str]
    warn: Expression | None
    fail: Expression | None
    min_samples: int | None
    on_missing: Verdict
    loss_policy: LossPolicy
    confidence: float | None
    abort: bool
    reason: str | None
    unit: str

    @property
    def limits(self) -> tuple[Expression, ...]:
        return tuple(limit for limit in (self.fail, self.warn) if limit is not None)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a threshold: the field, and a message."""

    field: str
    message: str


def understand(written: ThresholdWritten, metrics: Sequence[MetricDef]) -> Threshold | list[Fault]:
    """Holds a threshold against the metrics that a probe declares."""
    definition = next((metric for metric in metrics if metric.key == written.metric), None)
    if definition is None:
        hint = suggest_metric(written.metric, [metric.key for metric in metrics])
        return [Fault("metric", f"this probe has no metric {written.metric!r}{hint}")]
    faults: list[Fault] = []
    stat = written.stat if written.stat is not None else default_stat(definition)
    known = (*definition.stats, *_ALWAYS)
    if stat not in known:
        faults.append(
            Fault("stat", f"{definition.key} has no statistic {stat!r}{suggest(stat, definition.stats)}")
        )
    warn = _limit("warn", written.warn, definition, stat, faults)
    fail = _limit("fail", written.fail, definition, stat, faults)
    if written.warn is None and written.fail is None:
        faults.append(Fault("", "a threshold needs warn, fail or both"))
    if warn is not None and fail is not None and not weaker(fail, warn):
        faults.append(
            Fault("fail", f"fail {fail.text!r} must be weaker than warn {warn.text!r}, or warn is never seen")
        )
    if written.min_samples is not None and written.min_samples < distribution.needed(stat):
        faults.append(
            Fault(
                "min_samples",
                f"{stat} needs at least {distribution.needed(stat)} samples: write that or more",
            )
        )
    if written.confidence is not None and not definition.key.endswith("_ratio"):
        faults.append(Fault("confidence", f"{definition.key} is no ratio: take confidence out"))
    if written.confidence not in (None, 0.95):
        faults.append(Fault("confidence", "intervals are for 95 %: write confidence: 95 %"))
    if faults:
        return faults
    return Threshold(
        id=written.id or f"{definition.key}.{stat}",
        metric=definition.key,
        stat=stat,
        where=dict(written.where),
        warn=warn,
        fail=fail,
        min_samples=written.min_samples,
        on_missing=written.on_missing,
        loss_policy=written.loss_policy,
        confidence=written.confidence,
        abort=written.abort,
        reason=written.reason,
        unit=definition.unit,
    )


def default_stat(definition: MetricDef) -> str:
    """The statistic that is meant where none is named: by type, else the metric's first."""
    usual = _DEFAULT_STAT[definition.type]
    return usual if usual in definition.stats else definition.stats[0]


def suggest_metric(name: str, keys: Sequence[str]) -> str:
    """Which key was probably meant: the one with all the words, else the most alike."""
    words = set(name.split("_"))
    holding = [key for key in keys if words <= set(key.split("_"))]
    return f": did you mean {holding[0]!r}?" if len(holding) == 1 else suggest(name, keys)


def planned_needed(threshold: Threshold, definition: MetricDef) -> int:
    """How many samples a plan must hold so that the threshold can be judged though a fifth of them is lost.

    A percentile needs what defines it (p95: 20, so 25 planned; p99: 125). A counted ratio near 0 or 1 needs
    one over its distance (1 %: 100), in which losses count, unless `min_samples` says otherwise.
    """
    least = distribution.needed(threshold.stat)
    if definition.type == "aggregate" and definition.key.endswith("_ratio"):
        if threshold.min_samples is not None:
            return threshold.min_samples
        bounds = [bound for limit in threshold.limits for bound in limit.bounds]
        distances = [min(bound, 1 - bound) for bound in bounds if 0 < bound < 1]
        return max((math.ceil(round(1 / distance, 9)) for distance in distances), default=1)
    least = max(least, threshold.min_samples or 1)
    return math.ceil(least * 5 / 4) if least > 1 else 1


def _limit(
    field: str, text: str | None, definition: MetricDef, stat: str, faults: list[Fault]
) -> Expression | None:
    if text is None:
        return None
    dimension = None if definition.type == "state" else units.dimension_of(definition.unit, definition.key)
    if stat in ("distinct", "cv"):
        dimension = "number"
    try:
        return Expression.parse(text, dimension)
    except ExpressionError as error:
        faults.append(Fault(field, str(error)))
        return None
