"""What one attempt leaves behind: samples in columns, trigger points, method, flags, and how it ended."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ots.log import redact
from ots.model.metric import Series, Value
from ots.model.outcome import Outcome, QualityFlag, outcome_of
from ots.model.report import Attempt, Error, Trigger
from ots.probe import AttemptData, Sample

LabelSet = tuple[tuple[str, str], ...]


_NONE: Mapping[str, Any] = MappingProxyType({})

_WITHOUT_LABELS: dict[str, tuple[str, LabelSet]] = {}
"""One object for a key of every attempt that has it."""


@dataclass(slots=True)
class Column:
    """The samples of one key and label set; `reasons` by position where the value is missing, None while
    none is: thousands of targets have a column each."""

    t: array[float] = field(default_factory=lambda: array("d"))
    v: list[Value | None] = field(default_factory=list)
    reasons: dict[int, str] | None = None

    def append(self, t: float, value: Value | None, reason: str | None) -> None:
        if value is None:
            if reason is None:
                raise ValueError("a missing value needs a reason")
            if self.reasons is None:
                self.reasons = {}
            self.reasons[len(self.v)] = reason
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        self.t.append(t)
        if self.v:
            self.v.append(value)
        else:
            # A list made of its first element has no room for more: most columns of many targets have one.
            self.v = [value]

    def samples(self) -> list[Sample]:
        reasons = self.reasons or {}
        return [
            Sample(t, value, reasons.get(position))
            for position, (t, value) in enumerate(zip(self.t, self.v, strict=True))
        ]


class _Samples(Mapping[tuple[str, LabelSet], Sequence[Sample]]):
    """The samples of an attempt by key and label set, made when they are asked for."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[tuple[str, LabelSet], Column]) -> None:
        self._columns = columns

    def __getitem__(self, where: tuple[str, LabelSet]) -> Sequence[Sample]:
        return self._columns[where].samples()

    def __iter__(self) -> Iterator[tuple[str, LabelSet]]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class AttemptRecorder:
    """One attempt while it runs and after. All times are seconds since the run's start."""

    __slots__ = (
        "columns",
        "context",
        "cycle",
        "duration",
        "ended",
        "error",
        "flags",
        "index",
        "method",
        "t",
        "tally",
        "target",
        "triggers",
    )

    def __init__(self, index: int, cycle: int, target: str, t: float, context: int) -> None:
        self.index = index
        self.cycle = cycle
        self.target = target
        self.t = t
        self.context = context
        self.duration = 0.0
        self.error: Error | None = None
        self.ended = False
        self.columns: dict[tuple[str, LabelSet], Column] = {}
        self.triggers: dict[str, Trigger] = {}
        self.method: dict[str, Value | None] = {}
        self.flags: list[QualityFlag] = []
        self.tally: object = None

    @property
    def outcome(self) -> Outcome:
        return "success" if self.error is None else outcome_of(self.error.class_)

    def record(self, key: str, labels: LabelSet, t: float, value: Value | None, reason: str | None) -> None:
        column = self.columns.get((key, labels))
        if column is None:
            where = (key, labels) if labels else _WITHOUT_LABELS.setdefault(key, (key, labels))
            column = self.columns[where] = Column()
        column.append(t, value, reason)

    def mark(self, name: str, t: float, source: str) -> None:
        self.triggers.setdefault(name, Trigger(name=name, t=t, source=source))

    def flag(self, flag: QualityFlag) -> None:
        if flag not in self.flags:
            self.flags.append(flag)

    def end(self, t: float, error: Error | None = None) -> None:
        """Closes the attempt; only the first end counts."""
        if not self.ended:
            self.ended = True
            self.duration = max(0.0, t - self.t)
            if error is not None:
                # A server may repeat what it was told.
                error.message = redact(error.message)
            self.error = error

    def data(self) -> AttemptData:
        """The attempt as `Probe.summarise` sees it."""
        return AttemptData(
            index=self.index,
            cycle=self.cycle,
            target=self.target,
            outcome=self.outcome,
            error=self.error,
            t=self.t,
            duration=self.duration,
            triggers={name: trigger.t for name, trigger in self.triggers.items()} if self.triggers else _NONE,
            series=_Samples(self.columns),
            method=dict(self.method) if self.method else _NONE,
            flags=tuple(self.flags),
            tally=self.tally,
        )

    def record_of(self) -> Attempt:
        """The attempt as the report holds it."""
        return Attempt(
            index=self.index,
            cycle=self.cycle,
            target=self.target,
            outcome=self.outcome,
            error=self.error,
            t=round(self.t, 6),
            duration=round(self.duration, 6),
            triggers=sorted(
                (
                    Trigger(name=mark.name, t=round(mark.t, 6), source=mark.source)
                    for mark in self.triggers.values()
                ),
                key=lambda trigger: trigger.t,
            ),
            context=self.context,
        )


def series_of(attempts: Iterable[AttemptRecorder], *, pooled: bool = False) -> list[Series]:
    """All samples of a step's attempts, one series for each key and label set (the target among them, unless
    `pooled`)."""
    merged: dict[tuple[str, LabelSet], Series] = {}
    for attempt in attempts:
        for (key, labels), column in attempt.columns.items():
            where = (key, labels if pooled else (("target", attempt.target), *labels))
            series = merged.get(where)
            if series is None:
                series = merged[where] = Series(key=key, labels=dict(where[1]), t=[], v=[], a=[])
            start = len(series.v)
            series.nulls.update(
                {str(start + position): reason for position, reason in (column.reasons or {}).items()}
            )
            series.t.extend(round(t, 6) for t in column.t)
            series.v.extend(column.v)
            series.a.extend([attempt.index] * len(column.v))
    return list(merged.values())
