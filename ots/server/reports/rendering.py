"""A stored document for readers: read, and with what the installed probes say of its metrics."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from typing import Any

from ots.model.report import Report
from ots.registry import BrokenProbe, kinds
from ots.reports.format import View
from ots.schema.load_metrics import metrics_of
from ots.schema.report import ReportError, read_report
from ots.server.api.problems import Refused


def document_of(row: Any) -> Report:
    """The document of a revision's row. Raises Refused where its bytes are gone or can't be read."""
    if row.body is None:
        raise Refused("not-found", "the bytes of this revision are gone; its hash stays")
    try:
        return read_report(zlib.decompress(row.body))
    except ReportError as error:
        raise Refused("schema-unsupported", str(error)) from None


def view_for(language: str, *reports: Report, artifacts: Mapping[str, bytes] | None = None) -> View:
    """For whom we render: 100 columns, no colour, the metrics of these reports' probes."""
    known = kinds()
    found = []
    for kind in sorted({step.probe for report in reports for step in report.steps}):
        if kind in known:
            with contextlib.suppress(BrokenProbe):
                found.append(known[kind])
    return View(
        definitions={
            definition.key: definition for probe in found for definition in metrics_of(probe, "any")
        },
        language=language,
        width=100,
        colour=False,
        artifacts=artifacts or {},
    )
