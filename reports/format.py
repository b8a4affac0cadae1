"""The contract of a report format: one module is one format.

A module `ots.reports.NAME` (with `_` for the name's `-`) exposes `FORMAT` and `render(report, view)`, which
returns text, or bytes where `FORMAT.binary` is true. Rendering is pure: the same report and view give the
same document.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ots.model.metric import MetricDef
from ots.model.report import Report

NAMES = ("terminal", "html", "json", "junit", "csv", "csv-samples", "markdown", "nagios")
"""Every format, by the name that people type."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a format is called, which file extension it gets (without the dot) and its media type."""

    name: str
    extension: str
    media_type: str
    binary: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """For whom a report is rendered.

    `definitions` maps metric keys to what the installed probes declare, in the order of declaration: the
    first metrics of a probe are its headline. A report may hold metrics that are not in it. `width` counts
    columns of a terminal; None where there is none.
    """

    definitions: Mapping[str, MetricDef] = field(default_factory=dict)
    language: str = "en"
    width: int | None = None
    colour: bool = False


class Renderer(Protocol):
    """What a format's module looks like."""

    FORMAT: Format

    def render(self, report: Report, view: View) -> str | bytes: ...


def renderer(name: str) -> Renderer:
    """The module of one of NAMES; imported when it is needed, for some take long."""
    module: Renderer = importlib.import_module(f"ots.reports.{name.replace('-', '_')}")
    return module
