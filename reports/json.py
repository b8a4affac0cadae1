"""JSON: the report itself, as it is stored, hashed and exchanged."""

from __future__ import annotations

import msgspec

from ots.model.report import Report
from ots.reports.format import Format, View

FORMAT = Format("json", "json", "application/json")


def render(report: Report, view: View) -> str:
    """The canonical document: fields in the schema's order, keys of maps sorted; the view has no say."""
    return msgspec.json.encode(report, order="deterministic").decode()
