"""The report: one JSON document that holds everything one run found.

Every key is always present. A null that means "should be there, isn't" has its reason in `nulls` of the same
object; the nulls that simply mean "none" are documented at their field.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ots.model.metric import Metric, Series, Value
from ots.model.outcome import ErrorClass, Outcome, Phase, RunState, Verdict
from ots.model.validity import Validity

SCHEMA_NAME = "ots.report"
SCHEMA_VERSION = "1.3.0"


class Schema(msgspec.Struct, kw_only=True):
    name: str = SCHEMA_NAME
    version: str = SCHEMA_VERSION


class Error(msgspec.Struct, kw_only=True):
    """What went wrong: a class and a phase of the closed vocabularies, and the raw code.

    `remedy` tells the reader what to do; null where there is nothing to be done here.
    """

    class_: ErrorClass = msgspec.field(name="class")
    phase: Phase
    code: str
    message: str
    retryable: bool = False
    remedy: str | None = None


class Trigger(msgspec.Struct, kw_only=True):
    """A trigger point of an attempt: `t` seconds after the run's start, stamped by `source`."""

    name: str
    t: float
    source: str


class Attempt(msgspec.Struct, kw_only=True):
    """One try at one target. `t` and `duration` in seconds; `context` indexes the report's contexts."""

    index: int
    cycle: int
    target: str
    outcome: Outcome
    error: Error | None
    t: float
    duration: float
    triggers: list[Trigger]
    context: int


class Judgement(msgspec.Struct, kw_only=True):
    """One threshold held against one set of labels. `ci95` is `[low, high]` or null where none is defined."""

    labels: dict[str, str]
    value: Value | None
    n: int
    ci95: list[float] | None
    verdict: Verdict
    reason: str | None


class ThresholdResult(msgspec.Struct, kw_only=True):
    """A threshold as written, the verdict of its worst label set, and the judgement of each.

    `loss_policy` says what lost samples were to an upper bound on a percentile: `infinite` (infinitely late)
    or `conditional` (left out).
    """

    id: str
    metric: str
    stat: str
    unit: str
    warn: str | None
    fail: str | None
    loss_policy: str = "conditional"
    value: Value | None
    verdict: Verdict
    reason: str | None
    judgements: list[Judgement]


class LogLine(msgspec.Struct, kw_only=True):
    t: float
    level: str
    text: str


class Artifact(msgspec.Struct, kw_only=True):
    """A file that a probe made; its bytes are kept beside the report under `sha256`."""

    name: str
    media_type: str
    bytes: int
    sha256: str


class Step(msgspec.Struct, kw_only=True):
    """One step of the case: what was asked, what happened, what it means.

    `params` are the probe's and stand as a case would write them. `options` are the case's own words about
    the step (repeat, pause, retries, time_limit, require_success, expect, on_failure, when), times in
    seconds, null where it said nothing; with them a report can be judged again. `instance` names the
    `for_each` instance, `during` the step that loaded the link meanwhile. `target_lists` are the named lists
    that were asked for (`@core`), each with the targets that it held then; all of these stand in `targets`
    too. `load` is what the probe's own process did meanwhile: event-loop lag and CPU.
    """

    id: str
    instance: str | None
    key: str
    probe: str
    probe_version: int
    during: str | None
    targets: list[str]
    target_lists: dict[str, list[str]] = {}
    params: dict[str, Any]
    options: dict[str, Value | None] = {}
    tags: dict[str, str] = {}
    t: float
    duration: float
    outcome: Outcome
    error: Error | None
    flaky: bool
    attempts: list[Attempt]
    metrics: list[Metric]
    series: list[Series]
    thresholds: list[ThresholdResult]
    validity: Validity | None
    verdict: Verdict
    reason: str | None
    load: dict[str, Value | None]
    log: list[LogLine]
    artifacts: list[Artifact]
    nulls: dict[str, str] = {}


class Job(msgspec.Struct, kw_only=True):
    """Whose work this was. Every field is null where nobody said.

    A note begins with its time, RFC 3339 UTC, and a space. The subscribed rates are what the customer pays
    for.
    """

    id: str | None = None
    customer: str | None = None
    site: str | None = None
    engineer: str | None = None
    purpose: str | None = None
    plan: str | None = None
    subscribed_down_bits_per_second: float | None = None
    subscribed_up_bits_per_second: float | None = None
    notes: list[str] = []


class CaseRef(msgspec.Struct, kw_only=True):
    """Which case ran. `version` is null and `title` empty for a probe run straight from the command line.

    `layer` says where it came from: `default` (shipped), `synced` (signed content) or `local` (a file of the
    machine, `base` being the version of the case in whose place it stands); null from the command line.
    `stale_since` (RFC 3339) is since when nobody vouched for the synced content; null while somebody did.
    """

    id: str
    version: int | None
    sha256: str
    title: dict[str, str] = {}
    layer: str | None = None
    base: int | None = None
    stale_since: str | None = None


class Precheck(msgspec.Struct, kw_only=True):
    probe: str
    target: str
    outcome: Outcome
    error: Error | None
    duration: float


class DataUse(msgspec.Struct, kw_only=True):
    """Bytes that the probes moved, and the budget they had (null: no limit)."""

    received_bytes: int = 0
    sent_bytes: int = 0
    limit_bytes: int | None = None


class Run(msgspec.Struct, kw_only=True):
    """One execution. `start` and `end` are RFC 3339 UTC labels; `duration` is from the monotonic clock.

    Both are null while it runs, and for ever where its process was killed: nobody saw the end.
    """

    run_id: str
    state: RunState
    reason: str | None
    cycles: int
    start: str
    end: str | None
    duration: float | None
    clock: dict[str, Any]
    precheck: Precheck | None
    data: DataUse


class Context(msgspec.Struct, kw_only=True):
    """Where the machine was attached at `t` seconds after the run's start."""

    t: float
    device: dict[str, Any]
    network: dict[str, Any]
    radio: dict[str, Any] | None
    position: dict[str, Any] | None
    load: dict[str, Any]
    nulls: dict[str, str]


class Report(msgspec.Struct, kw_only=True):
    """The whole document.

    `agent.licence` says under which licence the run was made: `tier`, `licence_id`, `serial`,
    `state_at_start`, `state_at_end`. All but the tier are null where no licence is installed; the last one,
    too, where nobody saw the run's end.
    """

    schema: Schema
    report_id: str
    seq: int
    revision: int
    verdict: Verdict
    agent: dict[str, Any]
    job: Job
    case: CaseRef
    tags: dict[str, str]
    run: Run
    contexts: list[Context]
    steps: list[Step]
    scores: list[dict[str, Any]]
