"""What a case needs to know of a probe. `ots.probe.Probe` is one; this layer doesn't know that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from ots.model.metric import MetricDef
from ots.schema.target import Target, Targets


class Estimated(Protocol):
    """What a step will need at most: seconds, and bytes each way (None: unbounded)."""

    @property
    def duration(self) -> float: ...
    @property
    def received(self) -> int | None: ...
    @property
    def sent(self) -> int | None: ...


class Kind(Protocol):
    """A kind of measurement as it declares itself."""

    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def summary(self) -> str: ...
    @property
    def example(self) -> str: ...
    @property
    def targets(self) -> Targets: ...
    @property
    def Params(self) -> type[BaseModel]: ...
    @property
    def metrics(self) -> tuple[MetricDef, ...]: ...
    @property
    def exclusive(self) -> str: ...
    @property
    def round_trip(self) -> str | None: ...

    def estimate(self, targets: Sequence[Target], params: Any) -> Estimated:
        """What one attempt will need at most."""
        ...

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        """Samples of a metric in one attempt for each label set; None where it can't be known."""
        ...

    def warnings(self, targets: Sequence[Target], params: Any) -> list[str]:
        """What is legal and probably not meant."""
        ...
