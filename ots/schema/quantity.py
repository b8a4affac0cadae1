"""Types for what people write with a unit: a probe's parameters and a case's own fields.

    class PingParams(NetworkParams):
        interval: Annotated[Duration, Field(ge=0.001, description="…")] = 0.2     # float seconds
        size: Size = 56                                                           # int bytes

In a case and on the command line such a field takes text with a unit and refuses a bare number; code may
pass the number in base units. `model_dump(mode="json")` gives the text that a case would hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticUndefined, core_schema

from ots import units
from ots.units import Dimension, UnitError

WRITTEN: Mapping[str, bool] = {"written": True}
"""Validation context of what a person wrote: there a number without its unit is an error."""
BY_HAND: Mapping[str, bool] = {"written": True, "by_hand": True}
"""The same on the command line, whose user may also say where a secret lies: `env:NAME`, `file:PATH` or
`prompt`. A case may not: it can come from elsewhere, and would read any file of this machine."""

_NO_SECRET = 'a secret is never written down: write "${secret:NAME}" and give its value at run time'
_REFERENCE = re.compile(r"\$\{secret:[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\}")
_PLACE = re.compile(r"(?:env|file):[^{}]+|prompt")


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marks a field as a quantity; `whole` makes it an int, `bare` also takes a number without unit."""

    dimension: Dimension
    whole: bool = False
    bare: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self.render, when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": units.pattern(self.dimension),
            "examples": [units.EXAMPLES[self.dimension]],
        }

    def render(self, value: float) -> str:
        return units.render(value, self.dimension)

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.bare or not (info.context or {}).get("written"):
                return self._number(float(value))
            value = str(value)
        if not isinstance(value, str):
            raise PydanticCustomError(
                "quantity", "expected {example}", {"example": units.EXAMPLES[self.dimension]}
            )
        try:
            return self._number(units.parse(value, self.dimension))
        except UnitError as error:
            raise PydanticCustomError("quantity", "{reason}", {"reason": str(error)}) from None

    def _number(self, value: float) -> float:
        if not math.isfinite(value) or (self.whole and not value.is_integer()):
            raise PydanticCustomError("quantity", "expected a {what}", {"what": self.dimension})
        return int(value) if self.whole else value


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Marks a field that holds the name of a secret, never the secret."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_REFERENCE.pattern}$", "examples": ["${secret:NAME}"]}

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> str:
        if isinstance(value, str) and (info.context or {}).get("by_hand") and _PLACE.fullmatch(value):
            return f"${{secret:{value}}}"
        if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
            # The value may be a password: it must not stand in the message.
            raise PydanticCustomError("secret", "{reason}", {"reason": _NO_SECRET})
        return value


Duration = Annotated[float, Quantity("duration")]
"""Seconds, written `200 ms`."""
Size = Annotated[int, Quantity("size", whole=True)]
"""Bytes, written `10 MB`."""
Rate = Annotated[float, Quantity("rate")]
"""Bit/s, written `50 Mbit/s`."""
Ratio = Annotated[float, Quantity("ratio")]
"""0..1, written `1 %`."""
Share = Annotated[float, Quantity("ratio", bare=True)]
"""0..1, written `95 %` or `0.95`."""
Secret = Annotated[str, SecretReference()]
"""A reference `${secret:NAME}`."""


def quantity_of(field: FieldInfo) -> Quantity | None:
    """How the field is written, if it is a quantity (or None)."""
    return next((item for item in _markers(field) if isinstance(item, Quantity)), None)


def is_secret(field: FieldInfo) -> bool:
    return any(isinstance(item, SecretReference) for item in _markers(field))


def kind_of(field: FieldInfo) -> str:
    """The field's type in a word: `duration`, `whole number`, `auto | 4 | 6`, `list of text` …"""
    quantity = quantity_of(field)
    if quantity is not None:
        return quantity.dimension
    return "secret" if is_secret(field) else _type_name(field.annotation)


def written(field: FieldInfo) -> str | None:
    """The field's default as a case would write it; None if it has none."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None:
        return None
    quantity = quantity_of(field)
    if quantity is not None and isinstance(default, int | float):
        return quantity.render(default)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return "[" + ", ".join(map(str, default)) + "]"
    return str(default)


def _markers(field: FieldInfo) -> list[Any]:
    """The field's own metadata and those of a member of its union (`Duration | None`)."""
    found = list(field.metadata)
    for member in get_args(field.annotation):
        if get_origin(member) is Annotated:
            found += get_args(member)[1:]
    return found


def _type_name(annotation: Any) -> str:
    names = {int: "whole number", float: "number", bool: "yes or no", str: "text", type(None): ""}
    if annotation in names:
        return names[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (list, tuple, set, frozenset) and arguments:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict or (origin is not None and isinstance(origin, type) and issubclass(origin, Mapping)):
        return "mapping"
    members = [name for name in map(_type_name, arguments) if name]
    return " | ".join(dict.fromkeys(members)) if members else "mapping"
