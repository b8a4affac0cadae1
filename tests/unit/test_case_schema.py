"""The published schema and the template: editors and people start from what the loader takes."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from ots.registry import kinds
from ots.schema.load import load_case
from ots.schema.publish import case_schema
from ots.schema.template import template
from tests.unit.case_kinds import KINDS
from tests.unit.test_case_load import WHOLE


def _errors(text: str) -> list[str]:
    """What an editor would underline: the paths of the faulty values."""
    validator = jsonschema.Draft202012Validator(case_schema(KINDS))
    found = validator.iter_errors(yaml.safe_load(text))
    return sorted({"/".join(map(str, error.absolute_path)) for error in found})


def test_a_right_case_fits() -> None:
    """What the loader takes, the schema takes too, variables included."""
    jsonschema.Draft202012Validator.check_schema(case_schema(KINDS))
    assert _errors(WHOLE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "path"),
    [
        ("version: 3", "version: three", "version"),
        ("probe: knock, target: 192.0.2.0/28", "probe: knok, target: 192.0.2.0/28", "steps/1/probe"),
        ("interval: 20 ms", "interval: 20", "steps/0/params/interval"),
        ("count: 400", "cuont: 400", "steps/0/params"),
        ("stat: p95", "stat: p59", "steps/0/thresholds/0/stat"),
        ("metric: knock_rtt_seconds", "metric: knock_rtt", "steps/0/thresholds/0/metric"),
        ("id: one, probe", "id: one, colour: red, probe", "steps/2/parallel/0"),
        ("on_fail: skip", "on_fail: perhaps", "precheck/on_fail"),
        ('password: "${secret:mail}"', "password: hunter2", "steps/2/parallel/1/params/password"),
    ],
)
def test_a_mistake_is_underlined(right: str, wrong: str, path: str) -> None:
    """An editor marks the value itself, not the whole step."""
    assert right in WHOLE
    assert _errors(WHOLE.replace(right, wrong)) == [path]


def test_defaults_are_written_as_in_a_case() -> None:
    """An editor proposes `0.2 s`, not 0.2."""
    interval = case_schema(KINDS)["$defs"]["params_knock"]["properties"]["interval"]
    assert (interval["default"], interval["description"]) == ("0.2 s", "From knock to knock.")


def test_the_committed_schema_is_fresh() -> None:
    """ots/schema/case-1.json describes the built-in probes as they are."""
    known = kinds()
    built_in = {probe.kind: probe for probe in known.usable() if known.origin(probe.kind).entry_point is None}
    committed: dict[str, Any] = json.loads((files("ots.schema") / "case-1.json").read_text("utf-8"))
    assert committed == json.loads(json.dumps(case_schema(built_in))), "run: make docs"


@pytest.mark.parametrize("names", [["knock"], ["login"], ["fetch_page", "burn", "knock", "login"]])
def test_the_template_loads(names: list[str]) -> None:
    """A new case is right as it stands, and has one step for each kind."""
    text = template([KINDS[name] for name in names], "my-office", "case-1.json")
    case = load_case(text, "new.yaml", KINDS, {})
    assert [step.id for step in case.steps] == names
    assert case.title == {"en": "My office"}


def test_the_template_loads_with_everything_uncommented() -> None:
    """Every parameter and limit that the template proposes is right as well."""
    text = template([KINDS[name] for name in sorted(KINDS)], "my-office", "case-1.json")
    head, steps = text.split("steps:\n")
    opened = re.sub(r"^    # ", "    ", steps, flags=re.MULTILINE)
    case = load_case(f"{head}steps:\n{opened}", "new.yaml", KINDS, {})
    knock = next(step for step in case.steps if step.id == "knock")
    assert knock.params.model_fields_set == set(type(knock.params).model_fields)
    assert knock.thresholds
