"""JSON: the report itself, as it is stored and exchanged."""

from __future__ import annotations

import msgspec

from ots.model.report import Report
from ots.reports.format import Format, View

FORMAT = Format("json", "json", "application/json")


def render(report: Report, view: View) -> str:
    """The document, indented for people; keys in the order of the schema, whatever the view's language."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
