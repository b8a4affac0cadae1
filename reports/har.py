"""HAR 1.2: every page load of a report in one archive, for a browser's developer tools and their kin.

The web page probe keeps one archive for each attempt; here their pages stand behind each other in one `log`,
each entry with the page that it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ots.model.report import Report
from ots.reports.format import CannotRender, Format, View
from ots.reports.har_artifacts import log_of, named_by, record, records
from ots.reports.plain import plain
from ots.reports.words import Words

FORMAT = Format("har", "har", "application/json")

_ENTRY = ("startedDateTime", "time", "request", "response", "cache", "timings")
"""What an entry must have (HAR 1.2)."""


def render(report: Report, view: View) -> str:
    """The whole archive; CannotRender where the report has no page load, or none that is at hand."""
    words = Words(view.language)
    _ = words.gettext
    kept = [(step, artifact) for step in report.steps for artifact in named_by(step)]
    if not kept:
        raise CannotRender(
            _("report {n} holds no page load").format(n=report.seq),
            remedy=_("only the probe web_page makes archives for --format har"),
        )
    pages: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    found = 0
    for step, artifact in kept:
        read = log_of(artifact, view.artifacts)
        if read is not None:
            found += 1
            _merge(read, f"{plain(step.key)} {plain(artifact.name)}", pages, entries)
    if not found:
        raise CannotRender(
            _("the files of {n} page loads are not beside report {seq}").format(n=len(kept), seq=report.seq),
            remedy=_("export it on the machine that measured"),
        )
    # As the standard asks: the oldest first. Python's sort keeps the order of what began together.
    entries.sort(key=lambda entry: str(entry["startedDateTime"]))
    log: dict[str, Any] = {
        "version": "1.2",
        "creator": {"name": "OTS", "version": plain(report.agent.get("version") or "")},
        "pages": pages,
        "entries": entries,
        "comment": _comment(report, found, len(kept), words),
    }
    return json.dumps({"log": log}, indent=1, allow_nan=False) + "\n"


def _merge(
    log: Mapping[str, Any], origin: str, pages: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> None:
    """Adds the pages and entries of one archive under names that no other has."""
    names: dict[str, str] = {}
    for page in records(log.get("pages")):
        name = f"page_{len(pages) + 1}"
        names[str(page.get("id"))] = name
        pages.append({**page, "id": name, "comment": origin})
    for entry in _entries(log):
        # An entry may belong to no page, but never to one that is not there.
        page_name = names.get(str(entry.get("pageref")))
        bare = {key: value for key, value in entry.items() if key != "pageref"}
        entries.append(bare if page_name is None else {"pageref": page_name, **bare})


def _entries(log: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in records(log.get("entries")):
        if all(name in entry for name in _ENTRY) and record(entry["request"]) and record(entry["response"]):
            yield entry


def _comment(report: Report, found: int, kept: int, words: Words) -> str:
    text = f"{words.gettext('report #{n}').format(n=report.seq)} {report.report_id}"
    if found == kept:
        return text
    left_out = words.gettext("{found} of {kept} page loads: the other files are not at hand")
    return f"{text}; {left_out.format(found=found, kept=kept)}"
