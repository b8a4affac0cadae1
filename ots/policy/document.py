"""The policy as a person writes it:

ots_policy: 1
preset: light                    # what a server may ask for where nothing else is said here
remote:
  targets: [public, 10.20.0.0/16, "*.lab.example:443"]
  trusted: [10.20.0.0/16]        # hosts that we answer for: they may be loaded, and swept
  packets_per_second: 100
  hours: [{from: "22:00", to: "06:00", zone: Asia/Shanghai}]
schedule:                        # what a person at this machine has planned; without limits if not given
  bytes_per_day: 2 GB
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ots.policy.hours import Hours
from ots.policy.issuer import IssuerKind
from ots.policy.pattern import ANY, BadPattern, Pattern, parse_pattern
from ots.policy.policy import Policy
from ots.policy.presets import DEFAULT, Preset, rule_of
from ots.policy.rule import Rule
from ots.schedule.window import DAYS, window_of
from ots.strictyaml import Mapping, Node, Problem, YamlError, compose, locate, resolve
from ots.units import Dimension, UnitError, parse

VERSION = 1
MAX_BYTES = 256_000


def _quantity(dimension: Dimension) -> BeforeValidator:
    def convert(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} has no unit")
        try:
            return parse(value, dimension)
        except UnitError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(convert)


def _pattern(value: object) -> Pattern:
    if isinstance(value, Pattern):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no entry: put it in quotes")
    try:
        return parse_pattern(value)
    except BadPattern as error:
        raise ValueError(str(error)) from None


def _kinds(value: object) -> object:
    return None if value == "all" else value


_Entry = Annotated[Any, BeforeValidator(_pattern)]
_Names = frozenset[Annotated[str, Field(min_length=1, max_length=100)]]
_Days = frozenset[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Hours(_Part):
    from_: Annotated[str, Field(alias="from")]
    to: str
    zone: str = "UTC"
    days: _Days | None = None


class _Section(_Part):
    """One kind of issuer; what is not said stays as the preset has it."""

    probes: Annotated[_Names | None, BeforeValidator(_kinds)] = None
    targets: tuple[_Entry, ...] = ()
    trusted: tuple[_Entry, ...] = ()
    heavy: Literal["never", "consented", "any"] = "never"
    packets_per_second: Annotated[float, Field(gt=0)] | None = None
    packets: Annotated[int, Field(ge=1)] | None = None
    flows: Annotated[int, Field(ge=1)] | None = None
    bytes_per_run: Annotated[int, _quantity("size"), Field(gt=0)] | None = None
    bytes_per_day: Annotated[int, _quantity("size"), Field(gt=0)] | None = None
    duration: Annotated[float, _quantity("duration"), Field(gt=0)] | None = None
    hours: tuple[_Hours, ...] = ()
    roles: _Names = frozenset()
    projects: _Names = frozenset()
    secrets: _Names = frozenset()


class _Document(_Part):
    ots_policy: Literal[1]
    preset: Preset = DEFAULT
    remote: _Section | None = None
    schedule: _Section | None = None


def read_policy(content: bytes, source: str) -> Policy:
    """The policy of a document's text. YamlError with every fault and its place."""
    if len(content) > MAX_BYTES:
        raise YamlError([Problem(source, 1, 1, f"a policy has at most {MAX_BYTES >> 10} KiB")])
    problems: list[Problem] = []
    tree = compose(content, source)
    if not isinstance(tree, Mapping):
        raise YamlError(
            [Problem(source, tree.mark.line, tree.mark.column, "a policy begins with ots_policy: 1")]
        )
    data = resolve(tree, problems, source)
    if problems:
        raise YamlError(problems)
    try:
        document = _Document.model_validate(data)
        rules = {kind: _rule(document, kind) for kind in ("remote", "schedule")}
    except ValidationError as error:
        raise YamlError(
            [_problem(tree, fault, source) for fault in error.errors(include_url=False)]
        ) from None
    except _Wrong as error:
        mark = locate(tree, error.place)
        raise YamlError([Problem(source, mark.line, mark.column, str(error))]) from None
    return Policy(schedule=rules["schedule"], remote=rules["remote"], source=source)


class _Wrong(ValueError):
    def __init__(self, place: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.place = place


def _rule(document: _Document, kind: IssuerKind) -> Rule:
    rule = rule_of(document.preset, kind)
    section: _Section | None = getattr(document, kind)
    if section is None:
        return rule
    said: dict[str, Any] = {name: getattr(section, name) for name in section.model_fields_set}
    if "hours" in said:
        said["hours"] = tuple(
            _hours(each, (kind, "hours", number)) for number, each in enumerate(section.hours)
        )
    if kind == "remote":
        if said.get("heavy") == "any":
            raise _Wrong(
                (kind, "heavy"), "a server may load only hosts that have agreed: consented, or never"
            )
        for name in ("targets", "trusted"):
            for number, entry in enumerate(said.get(name, ())):
                if entry.text == ANY:
                    raise _Wrong((kind, name, number), "a server may not send this machine to any address")
    assert said.keys() <= {each.name for each in fields(Rule)}
    return replace(rule, **said)


def _hours(said: _Hours, place: tuple[str | int, ...]) -> Hours:
    try:
        ZoneInfo(said.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _Wrong(
            (*place, "zone"), f"{said.zone!r} is no time zone: write it like Asia/Shanghai"
        ) from None
    try:
        return Hours(window_of(said.from_, said.to, map(DAYS.index, said.days or DAYS)), said.zone)
    except ValueError as error:
        raise _Wrong(place, str(error)) from None


def _problem(tree: Node, fault: Any, source: str) -> Problem:
    place = tuple(part for part in fault["loc"] if isinstance(part, str | int))
    mark = locate(tree, place)
    message = fault["msg"].removeprefix("Value error, ")
    name = ".".join(str(part) for part in place if isinstance(part, str))
    if fault["type"] == "extra_forbidden":
        message = "there is no such entry of a policy"
    elif fault["type"] == "missing":
        message = "this is missing"
    return Problem(source, mark.line, mark.column, f"{name}: {message}")
