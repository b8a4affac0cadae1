"""Holds data against a pydantic model and says in our own words, at the right place, what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ots.schema.place import Path, Place
from ots.schema.quantity import WRITTEN, SecretReference, quantity_of
from ots.strictyaml import suggest

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping (key: value)",
    "mapping": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "ip": "an address",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def check(
    model: type[Model], data: Any, place: Place, what: str, context: Mapping[str, bool] = WRITTEN
) -> Model | None:
    """The model's instance, or None after noting every problem. `what` names the thing: `a step`."""
    data = _with_choices(model, data)
    try:
        instance = model.model_validate(data, context=dict(context))
    except ValidationError as error:
        _explain(error, model, data, place, what)
        return None
    return instance if _means_it(instance, data, place) else None


def check_each(
    model: type[Model], data: Mapping[str, Any], place: Place, what: str
) -> tuple[Model | None, frozenset[str]]:
    """Like `check`, but faulty optional fields fall back to their defaults, so that the rest is looked at.

    Also gives the names of the faulty fields; the instance is None if a required one is among them.
    """
    try:
        instance = model.model_validate(data, context=WRITTEN)
    except ValidationError as error:
        _explain(error, model, data, place, what)
        faulty = frozenset(str(part["loc"][0]) for part in error.errors(include_url=False) if part["loc"])
        rest = {name: value for name, value in data.items() if name not in faulty}
        try:
            return model.model_validate(rest, context=WRITTEN), faulty
        except ValidationError:
            return None, faulty
    _means_it(instance, data, place)
    return instance, frozenset()


def _with_choices(model: type[BaseModel], data: Any) -> Any:
    """The data with `family: 4` as the word '4', where '4' is one of a parameter's choices."""
    if not isinstance(data, Mapping):
        return data
    choices = {name: get_args(field.annotation) for name, field in model.model_fields.items()}
    return {
        name: str(value) if type(value) is int and str(value) in choices.get(name, ()) else value
        for name, value in data.items()
    }


def _explain(error: ValidationError, model: type[BaseModel], data: Any, place: Place, what: str) -> None:
    told: dict[tuple[Path, bool], list[str]] = {}
    for detail in error.errors(include_url=False):
        path = _real_path(data, detail["loc"])
        if detail["type"] in ("missing", "extra_forbidden"):
            path = _real_path(data, detail["loc"][:-1])
        if detail["type"] == "extra_forbidden":
            path = (*path, str(detail["loc"][-1]))
        message = _say(detail, model, path, what)
        messages = told.setdefault((path, detail["type"] == "extra_forbidden"), [])
        if message not in messages:
            messages.append(message)
    for (path, key), messages in told.items():
        if all(" needs " in message for message in messages):
            for message in messages:
                place.problem(path, message, key=key)
        else:
            place.problem(path, "; or ".join(messages), key=key)


def _real_path(data: Any, location: tuple[int | str, ...]) -> Path:
    """The location without the parts that pydantic adds for unions and functions."""
    path: list[int | str] = []
    for part in location:
        inside_mapping = isinstance(data, Mapping) and part in data
        if inside_mapping or (isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)):
            path.append(part)
            data = data[part]
    return tuple(path)


def _say(error: ErrorDetails, model: type[BaseModel], path: Path, what: str) -> str:
    kind, context, value = error["type"], error.get("ctx") or {}, error["input"]
    owner, field = _field_at(model, path)
    if kind == "missing":
        return f"{what if len(path) == 0 else 'this'} needs {str(error['loc'][-1])!r}"
    if kind == "extra_forbidden":
        name = str(path[-1])
        return f"unknown key {name!r}{suggest(name, owner.model_fields if owner else ())}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        quantity = quantity_of(field) if field is not None else None
        bound = quantity.render(context[key]) if quantity is not None else f"{context[key]}"
        return f"must be {words} {bound}"
    if kind == "literal_error":
        expected = str(context["expected"])
        return f"expected {expected}, got {shown(value)}"
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} does not fit the pattern {context['pattern']}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        length = context.get("min_length") or context.get("max_length")
        words = "at least" if kind.endswith("short") else "at most"
        unit = "character" if kind.startswith("string") else "entry"
        return f"must have {words} {counted(length or 0, unit)}"
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    family = kind.partition("_")[0]
    if family in _EXPECTED and kind.partition("_")[2] in (
        "type",
        "parsing",
        "from_float",
        "unicode",
        "parsing_size",
    ):
        hint = ""
        if family == "string" and isinstance(value, int | float):
            hint = ": put it in quotes"
        return f"expected {_EXPECTED[family]}, got {shown(value)}{hint}"
    return error["msg"][:1].lower() + error["msg"][1:]


def counted(number: int, noun: str) -> str:
    """`1 entry`, `3 entries`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number} {noun}s"


def shown(value: Any) -> str:
    """A value of a case as people would say it; cut when long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:56] + "…" + text[-1]


def _field_at(model: type[BaseModel], path: Path) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The model that owns the last named part of the path, and the field if it has it."""
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        if field is not None:
            owner = next(_models(field.annotation), None)
        field = owner.model_fields.get(part) if owner is not None else None
    return owner, field


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _means_it(instance: BaseModel, data: Any, place: Place) -> bool:
    """Finds what pydantic takes and nobody means: a boolean as a number, a secret in an open field."""
    fine = True
    for name, field in type(instance).model_fields.items():
        if not isinstance(data, Mapping) or name not in data:
            continue
        open_field = not _takes_secret(field)
        for path, leaf in _leaves(data[name]):
            if isinstance(leaf, str) and "${secret:" in leaf and open_field:
                place.problem((name, *path), f"{name} takes no secret: it would stand in the report")
                fine = False
        if isinstance(data[name], bool) and not isinstance(getattr(instance, name), bool):
            place.problem((name,), f"expected a number, got {shown(data[name])}")
            fine = False
    return fine


def _takes_secret(field: FieldInfo) -> bool:
    return any(isinstance(item, SecretReference) for item in field.metadata) or _holds_secret(
        field.annotation
    )


def _holds_secret(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return any(isinstance(item, SecretReference) for item in get_args(annotation)[1:])
    return any(_holds_secret(argument) for argument in get_args(annotation))


def _leaves(value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            for path, leaf in _leaves(child):
                yield (key, *path), leaf
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            for path, leaf in _leaves(child):
                yield (index, *path), leaf
    else:
        yield (), value
