"""What the table of reports says of a document: the facts by which it is listed and found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ots.model.report import Report
from ots.server.api.problems import Refused
from ots.server.reports.words import plain, words_of
from ots.store.document import targets_of


def facts_of(report: Report) -> dict[str, Any]:
    """Columns of the report's row that follow its newest revision. Raises Refused."""
    return {
        "run_id": plain(report.run.run_id),
        "case_id": plain(report.case.id),
        "case_version": report.case.version,
        "state": report.run.state,
        "verdict": report.verdict,
        "start": _seconds(report.run.start),
        "duration": report.run.duration,
        "job": None if report.job.id is None else plain(report.job.id),
        "targets": plain(targets_of(report)),
        "words": words_of(report),
    }


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        raise Refused("schema-unsupported", "run.start is no RFC 3339 time") from None
