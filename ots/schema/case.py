"""A case that is right: what the planner works with. Made by `ots.schema.load`, never by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from ots.schedule.document import Schedule
from ots.schema.condition import Condition
from ots.schema.kinds import Kind
from ots.schema.parameter import Parameter
from ots.schema.target import Target
from ots.schema.threshold import Threshold

Layer = Literal["default", "synced", "local"]
"""Where a case came from: shipped with OTS, signed content, or a file of this machine."""


@dataclass(frozen=True, slots=True)
class PrecheckSpec:
    """One measurement before everything else. `wait` in seconds."""

    kind: Kind
    target: Target
    params: BaseModel
    wait: float
    on_fail: Literal["fail", "skip", "wait"]


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement of the plan; a step with `for_each` gives one for each instance, all with its id.

    `key` is unique in the case: `again[host=a.example]`. `require_success` is `all`, `any`, a number of
    attempts (int) or a share of them (float). `target_lists` are the lists named in `target` with what they
    stood for; all of it is in `targets` too. `line` is where it stands, 0 if in no file. Times in seconds.
    """

    id: str
    instance: str | None
    key: str
    kind: Kind
    targets: tuple[Target, ...]
    target_lists: Mapping[str, tuple[str, ...]]
    params: BaseModel
    repeat: int
    pause: float
    retries: int
    time_limit: float | None
    on_failure: Literal["continue", "stop"]
    when: Condition | None
    during: str | None
    thresholds: tuple[Threshold, ...]
    require_success: str | int | float
    expect: Literal["success", "failure"]
    tags: Mapping[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that stand together: the instances of one step one after the other, or a `parallel` group."""

    steps: tuple[Step, ...]
    parallel: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A whole case. `sha256` is that of the text; `variables` are the names that it uses.

    `parameters` are those that may be set from elsewhere. `base` is the version of the synced or shipped case
    of the same id in whose place it stands. `layer` is None for a probe run straight from the command line;
    `stale_since` (RFC 3339) says since when nobody vouches for the content that it came with.
    """

    id: str
    version: int | None
    title: dict[str, str]
    tags: dict[str, str]
    precheck: PrecheckSpec | None
    blocks: tuple[Block, ...]
    schedule: Schedule | None
    time_limit: float | None
    on_failure: Literal["continue", "stop"]
    sha256: str
    source: str
    warnings: tuple[str, ...]
    variables: frozenset[str] = field(default_factory=frozenset)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    base: int | None = None
    layer: Layer | None = None
    stale_since: str | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in the order of the text."""
        return tuple(step for block in self.blocks for step in block.steps)
