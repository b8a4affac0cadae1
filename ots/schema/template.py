"""A commented case to start from, written from what the probes declare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic.fields import FieldInfo

from ots import units
from ots.model.metric import MetricDef
from ots.schema.kinds import Kind
from ots.schema.quantity import is_secret, kind_of, quantity_of, written
from ots.schema.threshold import default_stat
from ots.schema.written import FORMAT

_WIDTH = 100


def template(kinds: Sequence[Kind], case_id: str, schema: str) -> str:
    """A case with a step for each kind, that loads as it stands; editors find `schema` by its first line."""
    lines = [
        f"# yaml-language-server: $schema={schema}",
        "# Check it:  ots cases check FILE      Run it:  ots run FILE      Look first:  ots run FILE --plan",
        f"ots: {FORMAT}",
        f"id: {case_id}",
        "version: 1",
        f"title: {{en: {_title(case_id)}}}",
        "# Variables are used as ${name} and may be set with --var name=value.",
        "vars:",
        *(f"  {_variable(kind)}: {_quoted(kind.example)}" for kind in kinds),
        "steps:",
    ]
    for kind in kinds:
        lines += _step(kind)
    return "\n".join(lines) + "\n"


def _step(kind: Kind) -> Iterator[str]:
    yield f"  # {kind.summary}"
    yield f"  - id: {kind.kind}"
    yield f"    probe: {kind.kind}"
    yield f'    target: "${{{_variable(kind)}}}"    # {kind.targets.describe()}'
    fields = kind.Params.model_fields
    if fields:
        required = any(field.is_required() for field in fields.values())
        yield (
            "    params:" if required else "    # params:    # take '# ' away before what you want to change"
        )
        for name, field in fields.items():
            yield from _param(name, field)
    headline = next((metric for metric in kind.metrics if metric.type != "state"), None)
    if headline is not None:
        yield "    # thresholds:    # what must hold; each limit is warn, fail or both"
        yield f"    #   - {_threshold(headline)}"


def _param(name: str, field: FieldInfo) -> Iterator[str]:
    default = written(field)
    value = default if default is not None else _placeholder(name, field)
    mark = "" if field.is_required() else "# "
    line = f"    {mark}  {name}: {value}"
    explained = (field.description or kind_of(field)).strip()
    if len(line) + len(explained) + 4 <= _WIDTH:
        yield f"{line}    # {explained}"
    else:
        yield f"    {mark}  # {explained}"
        yield line


def _placeholder(name: str, field: FieldInfo) -> str:
    """Something of the right type for a parameter without a default."""
    quantity = quantity_of(field)
    if quantity is not None:
        return units.EXAMPLES[quantity.dimension]
    if field.examples:
        return str(field.examples[0])
    if is_secret(field):
        return f'"${{secret:{name}}}"'
    kind = kind_of(field)
    simple = {"whole number": "1", "number": "1.0", "yes or no": "true", "text": name, "mapping": "{}"}
    if kind.startswith("list"):
        return f"[{name}]"
    return simple.get(kind.partition(" | ")[0], kind.partition(" | ")[0])


def _threshold(metric: MetricDef) -> str:
    dimension = units.dimension_of(metric.unit, metric.key)
    sign = ">=" if metric.better == "higher" else "<="
    return (
        f'{{metric: {metric.key}, stat: {default_stat(metric)}, fail: "{sign} {units.EXAMPLES[dimension]}"}}'
    )


def _variable(kind: Kind) -> str:
    return f"{kind.kind}_target"


def _title(case_id: str) -> str:
    return case_id.replace("-", " ").replace("_", " ").capitalize()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
