"""Reads reports of any version, and publishes the JSON Schema of the present one.

A reader accepts every report of its own major version and ignores keys that it doesn't know; older majors are
upgraded by pure functions, one for each step from n to n+1; a newer major is refused. Stored bytes are never
rewritten: what is upgraded is what a reader sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ots.model.report import SCHEMA_NAME, SCHEMA_VERSION, Report

Document = dict[str, Any]
Upgrade = Callable[[Document], Document]

MAJOR = int(SCHEMA_VERSION.partition(".")[0])

UPGRADES: Mapping[int, Upgrade] = {}
"""The upgrade from each older major version to the next one."""

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


class ReportError(ValueError):
    """These bytes are no report that this version can read; the message says why."""


class _Marked(msgspec.Struct):
    name: str
    version: str


class _Head(msgspec.Struct):
    """What is looked at before anything else of a document."""

    schema: _Marked


def read_report(data: bytes) -> Report:
    """The report in these bytes, upgraded to the present version if it is older; else ReportError."""
    major, version = _version_of(data)
    try:
        if major == MAJOR:
            return msgspec.json.decode(data, type=Report)
        return msgspec.convert(upgraded(msgspec.json.decode(data), major), Report)
    except (msgspec.DecodeError, RecursionError) as error:
        newer = " (it was written by a newer version of OTS)" if _newer(version) else ""
        raise ReportError(f"damaged report of version {version}{newer}: {error}") from None


def upgraded(document: Document, major: int, upgrades: Mapping[int, Upgrade] = UPGRADES) -> Document:
    """The document after every upgrade from its major version to the present one; the argument stays."""
    for number in range(major, MAJOR):
        if number not in upgrades:
            raise ReportError(f"reports of version {number} can't be read any more; this is version {MAJOR}")
        document = upgrades[number](document)
    return document


def report_schema() -> Document:
    """The JSON Schema (2020-12) of the report that this version writes: every key is always there."""
    schema = msgspec.json.schema(Report)
    definitions: Document = schema["$defs"]
    for definition in definitions.values():
        if "properties" in definition:
            definition["required"] = list(definition["properties"])
            for described in definition["properties"].values():
                described.pop("default", None)
    definitions["Schema"]["properties"]["name"] = {"const": SCHEMA_NAME}
    definitions["Schema"]["properties"]["version"] = {"type": "string", "pattern": rf"^{MAJOR}\.\d+\.\d+$"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{SCHEMA_NAME} {SCHEMA_VERSION}",
        **schema,
    }


def _version_of(data: bytes) -> tuple[int, str]:
    try:
        marked = msgspec.json.decode(data, type=_Head).schema
    except (msgspec.DecodeError, RecursionError) as error:
        raise ReportError(f"this is no report: {error}") from None
    match = _VERSION.fullmatch(marked.version)
    if marked.name != SCHEMA_NAME or match is None:
        raise ReportError(f"this is no report but {marked.name!r} {marked.version!r}")
    major = int(match[1])
    if major > MAJOR:
        raise ReportError(
            f"the report has version {marked.version}; this OTS reads up to version {MAJOR}: update OTS"
        )
    return major, marked.version


def _newer(version: str) -> bool:
    return [int(part) for part in version.split(".")] > [int(part) for part in SCHEMA_VERSION.split(".")]
