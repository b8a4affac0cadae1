"""The words by which a report is found: all text that a person would look for, in lower case."""

from __future__ import annotations

from collections.abc import Iterator

from ots.model.report import Report

_LONGEST = 8_000
_CONTROLS = {**dict.fromkeys(range(32), " "), 127: " "}


def words_of(report: Report) -> str:
    """The text that a search goes through: case, job, notes, tags, probes, targets, errors."""
    found = dict.fromkeys(word for word in _texts(report) if word)
    return plain(" ".join(found)[:_LONGEST].lower())


def plain(text: str) -> str:
    """The text without control characters, which no index needs and PostgreSQL does not take (NUL)."""
    return text.translate(_CONTROLS)


def _texts(report: Report) -> Iterator[str]:
    job = report.job
    yield from (report.case.id, *report.case.title.values())
    yield from (text or "" for text in (job.id, job.customer, job.site, job.engineer, job.purpose, job.plan))
    yield from job.notes
    for name, value in report.tags.items():
        yield f"{name}={value}"
    yield str(report.agent.get("name") or "")
    for step in report.steps:
        yield from (step.key, step.probe, *step.targets)
        errors = [step.error, *(attempt.error for attempt in step.attempts)]
        for error in errors:
            if error is not None:
                yield f"{error.class_}/{error.phase} {error.code}"
