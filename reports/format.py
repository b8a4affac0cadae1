"""The contract of a report format: one module is one format.

A module `ots.reports.NAME` (with `_` for the name's `-`) exposes `FORMAT` and `render(report, view)`, which
returns text, or bytes where `FORMAT.binary` is true. Rendering is pure: the same report and view give the
same document. A report that has no such form raises `CannotRender`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ots.model.metric import MetricDef
    from ots.model.report import Report

NAMES = ("terminal", "html", "json", "junit", "csv", "csv-samples", "markdown", "nagios", "har", "pdf")
"""Every format, by the name that people type."""

BINARY = frozenset({"pdf"})
"""Formats that are no text; known here so that a module need not be imported to ask."""


class CannotRender(Exception):
    """This report has no such form, or this installation can't make it; `remedy` says what to do."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


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
    columns of a terminal; None where there is none. `artifacts` holds the files beside the report by their
    SHA-256 in hex; those that are not at hand are not in it, and then the document says so.
    """

    definitions: Mapping[str, MetricDef] = field(default_factory=dict)
    language: str = "en"
    width: int | None = None
    colour: bool = False
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


class Renderer(Protocol):
    """What a format's module looks like."""

    FORMAT: Format

    def render(self, report: Report, view: View) -> str | bytes: ...


def renderer(name: str) -> Renderer:
    """The module of one of NAMES; imported when it is needed, for some take long."""
    module: Renderer = importlib.import_module(f"ots.reports.{name.replace('-', '_')}")
    return module


def check_installed(name: str, language: str) -> None:
    """CannotRender where a format needs an extra, or libraries of the system, that are not here."""
    if name == "pdf":
        from ots.reports import pdf

        pdf.setter(language)
