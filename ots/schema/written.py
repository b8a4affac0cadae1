"""A case as it is written: the shape of each part, from which the published JSON Schema comes too.

What crosses fields is not here: pydantic's model validators don't run beside field errors, and a reader wants
all problems at once. Steps are checked one by one, each with the parameters of its own probe.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from ots import units
from ots.schema.quantity import Duration
from ots.schema.threshold import ThresholdWritten
from ots.units import UnitError

FORMAT = 1
"""The case format that this OTS reads."""

OnFailure = Literal["continue", "stop"]
Required = str | int | float

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


def _identifier(text: str) -> str:
    if not IDENTIFIER.fullmatch(text):
        better = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")[:64]
        hint = f", such as {better!r}" if IDENTIFIER.fullmatch(better) else ""
        raise PydanticCustomError(
            "id",
            "{text} is no id: letters, digits, - and _, at most 64{hint}",
            {"text": repr(text[:80]), "hint": hint},
        )
    return text


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list | tuple | dict | None) else [value]


def _title(value: Any) -> Any:
    return {"en": value} if isinstance(value, str) else value


def _required(value: Any) -> Required:
    """`all`, `any`, a number of attempts (int) or a share of them (float)."""
    if value in ("all", "any"):
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and 0 < value <= 1:
        return value
    if isinstance(value, str) and value.rstrip().endswith("%"):
        try:
            share = units.parse(value, "ratio")
        except UnitError:
            share = 0.0
        if 0 < share <= 1:
            return share
    raise PydanticCustomError("required", "expected all, any, a number of attempts, or a share such as 80 %")


Identifier = Annotated[str, AfterValidator(_identifier)]
Title = Annotated[
    dict[str, str],
    BeforeValidator(_title),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}
    ),
]
OneOrMany = Annotated[
    list[str],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]
RequireSuccess = Annotated[
    Required,
    PlainValidator(_required),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["all", "any"]},
                {"type": "integer", "minimum": 1},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "string", "pattern": units.pattern("ratio")},
            ]
        }
    ),
]
Plain = str | int | float | bool | None


class Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepWritten(Written):
    """One entry of `steps:`; `params` and `thresholds` are checked against the probe."""

    id: Annotated[Identifier, Field(description="Name of the step, unique in the case.")]
    probe: Annotated[str, Field(description="Kind of measurement: see ots probes list.")]
    target: Annotated[OneOrMany, Field(description="What to measure: one target or a list.")]
    params: Annotated[dict[str, Any], Field(description="Parameters of the probe.")] = {}
    thresholds: Annotated[list[ThresholdWritten], Field(description="What must hold.")] = []
    repeat: Annotated[int, Field(ge=1, le=100_000, description="Measure so many times.")] = 1
    pause: Annotated[Duration, Field(ge=0, description="Pause between repetitions.")] = 0.0
    retries: Annotated[int, Field(ge=0, le=10, description="Try invalid attempts again so often.")] = 1
    time_limit: Annotated[Duration | None, Field(gt=0, description="End the step after this long.")] = None
    on_failure: Annotated[
        OnFailure | None, Field(description="Go on or stop when this step fails; the case's, if not said.")
    ] = None
    when: Annotated[str | None, Field(description="Run only if this holds: steps.ID.verdict == 'pass'.")] = (
        None
    )
    during: Annotated[Identifier | None, Field(description="Run while this other step runs.")] = None
    for_each: Annotated[
        dict[str, list[Plain]], Field(description="Run once for each value of these variables.")
    ] = {}
    require_success: Annotated[
        RequireSuccess, Field(description="How many attempts must succeed: all, any, 3, 80 %.")
    ] = "all"
    expect: Annotated[
        Literal["success", "failure"], Field(description="failure: the step passes if every attempt fails.")
    ] = "success"
    tags: Annotated[dict[str, str], Field(description="Labels that go into the report.")] = {}


class PrecheckWritten(Written):
    """`precheck:` one probe that decides whether the run makes sense."""

    probe: Annotated[str, Field(description="Kind of measurement.")]
    target: Annotated[str, Field(description="One target.")]
    params: Annotated[dict[str, Any], Field(description="Parameters of the probe.")] = {}
    wait: Annotated[Duration, Field(ge=0, description="With on_fail: wait, try for so long.")] = 30.0
    on_fail: Annotated[Literal["fail", "skip", "wait"], Field(description="fail: an outage is a result.")] = (
        "fail"
    )


class CampaignWritten(Written):
    """`campaign:` so many runs a day, for so many days, at times that each agent draws for itself."""

    runs_per_day: Annotated[int, Field(ge=1, le=1440, description="Runs on each day.")]
    days: Annotated[int, Field(ge=1, le=3660, description="Days.")]
    min_gap: Annotated[Duration, Field(ge=0, description="Least time between two runs.")] = 0.0
    first: Annotated[
        str | None, Field(description="First day, such as 2026-03-01; the next one, if not said.")
    ] = None


class ScheduleWritten(Written):
    """`schedule:` when the agent runs the case."""

    every: Annotated[Duration | None, Field(ge=10, description="Run so often.")] = None
    cron: Annotated[str | None, Field(description="Run at these times: five cron fields.")] = None
    campaign: Annotated[
        CampaignWritten | None, Field(description="Run so often a day, for so many days.")
    ] = None
    zone: Annotated[
        str | None, Field(description="Time zone of cron, campaign and windows, such as Asia/Shanghai.")
    ] = None
    windows: Annotated[
        OneOrMany | None, Field(description="Plan only in these hours, such as mon-fri 08:00-18:00.")
    ] = None
    catch_up: Annotated[
        Literal["none", "once"], Field(description="once: one run makes up for those that were missed.")
    ] = "none"
    spread: Annotated[
        Duration | None,
        Field(ge=0, description="Begin up to so much later, by the agent's id; 0 s: not at all."),
    ] = None


ParameterType = Literal["text", "integer", "number", "duration", "size", "rate", "ratio"]


class ParameterWritten(Written):
    """A variable of `vars:` that may be set from elsewhere, within bounds."""

    type: Annotated[ParameterType, Field(description="What its values are.")] = "text"
    min: Annotated[Plain, Field(description="The least that others may set.")] = None
    max: Annotated[Plain, Field(description="The most that others may set.")] = None
    choices: Annotated[
        list[Plain] | None, Field(min_length=1, max_length=100, description="The only values there are.")
    ] = None
    pattern: Annotated[
        str | None, Field(max_length=200, description="What a whole text must fit (regular expression).")
    ] = None
    default: Annotated[Plain, Field(description="Its value unless set; without one it must be given.")] = None


class CaseWritten(Written):
    """The whole document; `steps` are checked one by one."""

    ots: Annotated[int, Field(description="Case format.")]
    id: Annotated[Identifier, Field(description="Name of the case.")]
    version: Annotated[int | None, Field(ge=1, description="Version of the case.")] = None
    title: Annotated[Title, Field(description="What people read, in one language or several.")] = {}
    tags: Annotated[dict[str, str], Field(description="Labels that go into the report.")] = {}
    base: Annotated[
        int | None, Field(ge=1, description="Version of the synced or shipped case that this one replaces.")
    ] = None
    vars: Annotated[
        dict[str, Plain | ParameterWritten],
        Field(description="Variables for ${name}; null: must be given; with bounds others may set them."),
    ] = {}
    precheck: Annotated[Any, Field(description="A probe that decides whether to run.")] = None
    steps: Annotated[list[Any], Field(min_length=1, description="What to measure, in order.")]
    schedule: Annotated[Any, Field(description="When the agent runs the case.")] = None
    time_limit: Annotated[Duration | None, Field(gt=0, description="End the run after this long.")] = None
    on_failure: Annotated[OnFailure, Field(description="Go on or stop when a step fails.")] = "continue"
