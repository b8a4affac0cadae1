"""The JSON Schema of a case, so that editors complete and check while one types.

It is written for people's editors: wherever a value may stand, `${variable}` may too; every parameter has its
help and its default as a case would write them. What crosses fields only `ots cases check` can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ots.schema.kinds import Kind
from ots.schema.load_metrics import metrics_of
from ots.schema.quantity import quantity_of, written
from ots.schema.threshold import ThresholdWritten
from ots.schema.written import FORMAT, CaseWritten, PrecheckWritten, ScheduleWritten, StepWritten

Schema = dict[str, Any]

_VARIABLE = {"$ref": "#/$defs/variable"}
_STRING_ONLY = ("gt", "ge", "lt", "le", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def case_schema(kinds: Mapping[str, Kind]) -> Schema:
    """The schema of a case that uses these kinds of probe (JSON Schema 2020-12)."""
    names = sorted(kinds)
    definitions: Schema = {
        "variable": {"type": "string", "pattern": r"\$\{", "description": "A variable: ${name}."},
        "threshold": of_model(ThresholdWritten),
        "step": _step(kinds),
        "precheck": _with_probe(of_model(PrecheckWritten), kinds),
        "schedule": of_model(ScheduleWritten),
        **{f"params_{name}": of_model(kinds[name].Params) for name in names},
        **{f"threshold_{name}": _threshold(kinds[name]) for name in names},
    }
    schema = of_model(CaseWritten)
    properties = schema["properties"]
    properties["ots"] = {"const": FORMAT, "description": properties["ots"]["description"]}
    properties["precheck"] = {"$ref": "#/$defs/precheck"}
    properties["schedule"] = {"$ref": "#/$defs/schedule"}
    parallel = {
        "type": "object",
        "additionalProperties": False,
        "required": ["parallel"],
        "properties": {
            "parallel": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/step"},
                "description": "Steps that run at the same time.",
            }
        },
    }
    properties["steps"]["items"] = {
        "if": {"required": ["parallel"]},
        "then": parallel,
        "else": {"$ref": "#/$defs/step"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"OTS case, format {FORMAT}",
        "$defs": definitions,
    }


def of_model(model: type[BaseModel]) -> Schema:
    """One model's schema without references; quantities are text, and any value may be a variable."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    inlined: Schema = _tidy(_inline(schema, definitions))
    for name, field in model.model_fields.items():
        described = inlined["properties"].get(name)
        if described is None or "default" not in described:
            continue
        if quantity_of(field) is not None:
            described["default"] = written(field)
        if described["default"] is None:
            del described["default"]
    return inlined


def _inline(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inline(definitions[reference.rpartition("/")[2]], definitions), **rest}
    return {key: _inline(value, definitions) for key, value in node.items()}


def _tidy(schema: Schema) -> Schema:
    """Takes out titles and bounds that mean nothing for text, and lets a variable stand for a value."""
    tidy = {key: value for key, value in schema.items() if key != "title"}
    if "properties" in tidy:
        tidy["properties"] = {name: _tidy(value) for name, value in tidy["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(tidy.get(key), dict):
            tidy[key] = _tidy(tidy[key])
    if "anyOf" in tidy:
        members = [_tidy(member) for member in tidy["anyOf"] if member.get("type") != "null"]
        flat = [part for member in members for part in member.get("anyOf", [member])]
        tidy["anyOf"] = [part for index, part in enumerate(flat) if part not in flat[:index]]
        return tidy
    if tidy.get("type") == "string":
        tidy = {key: value for key, value in tidy.items() if key not in _STRING_ONLY}
    if "enum" in tidy:
        tidy["enum"] = [*tidy["enum"], *(int(word) for word in tidy["enum"] if str(word).isdecimal())]
        tidy.pop("type", None)
    closed = (
        tidy.get("type") in ("integer", "number", "boolean") or {"pattern", "enum", "const"} & tidy.keys()
    )
    if not closed:
        return tidy
    outside: Schema = {key: tidy.pop(key) for key in ("description", "default", "examples") if key in tidy}
    outside["anyOf"] = [tidy, _VARIABLE]
    return outside


def _step(kinds: Mapping[str, Kind]) -> Schema:
    schema = of_model(StepWritten)
    schema["properties"]["thresholds"]["items"] = {"$ref": "#/$defs/threshold"}
    schema = _with_probe(schema, kinds)
    for rule in schema["allOf"]:
        name = rule["if"]["properties"]["probe"]["const"]
        rule["then"]["properties"]["thresholds"] = {"items": {"$ref": f"#/$defs/threshold_{name}"}}
    return schema


def _with_probe(schema: Schema, kinds: Mapping[str, Kind]) -> Schema:
    """Says which probes there are, and ties `params` to the one that is named."""
    probes = [{"const": name, "description": kinds[name].summary} for name in sorted(kinds)]
    schema["properties"]["probe"] = {**schema["properties"]["probe"], "anyOf": [*probes, _VARIABLE]}
    schema["allOf"] = [
        {
            "if": {"properties": {"probe": {"const": name}}, "required": ["probe"]},
            "then": {"properties": {"params": {"$ref": f"#/$defs/params_{name}"}}},
        }
        for name in sorted(kinds)
    ]
    return schema


def _threshold(kind: Kind) -> Schema:
    """The metrics of one kind, each with its statistics."""
    known = metrics_of(kind, "any")
    metrics = [{"const": metric.key, "description": f"{metric.title} [{metric.unit}]"} for metric in known]
    by_statistics: dict[tuple[str, ...], list[str]] = {}
    for metric in known:
        by_statistics.setdefault(metric.stats, []).append(metric.key)
    statistics = [
        {
            "if": {"properties": {"metric": {"enum": keys}}, "required": ["metric"]},
            "then": {
                "properties": {"stat": {"anyOf": [{"enum": [*stats, "ci95_low", "ci95_high"]}, _VARIABLE]}}
            },
        }
        for stats, keys in by_statistics.items()
    ]
    properties = {"properties": {"metric": {"anyOf": [*metrics, _VARIABLE]}}}
    return {**properties, "allOf": statistics} if statistics else properties
