"""Page loads in reports: the waterfall of the HTML page, and HAR, whatever the archives hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ots.model.report import Report
from ots.reports import html
from ots.reports.format import CannotRender, View, renderer
from tests.unit import sample_pages, sample_reports
from tests.unit.test_render_html import Page

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "har-1.2.json").read_text())


def view(language: str = "en", artifacts: Any = sample_pages.ARTIFACTS) -> View:
    return View(sample_reports.DEFINITIONS, language, artifacts=artifacts)


def page(report: Report, language: str = "en", artifacts: Any = sample_pages.ARTIFACTS) -> str:
    return html.render(report, view(language, artifacts))


def exported(report: Report, artifacts: Any = sample_pages.ARTIFACTS) -> dict[str, Any]:
    document = renderer("har").render(report, view("en", artifacts))
    log: dict[str, Any] = json.loads(document)["log"]
    return log


def waterfalls(text: str) -> list[str]:
    return text.split('<div class="load">')[1:]


def test_har_is_valid_and_has_every_page_load() -> None:
    """Four pages with names of their own, each entry with its page, the oldest first."""
    log = exported(sample_pages.page_loads())
    jsonschema.validate({"log": {**log, "entries": [*log["entries"][:40], *log["entries"][-40:]]}}, SCHEMA)
    names = [found["id"] for found in log["pages"]]
    assert len(set(names)) == len(names) == 4
    assert {entry["pageref"] for entry in log["entries"]} == set(names)
    begun = [entry["startedDateTime"] for entry in log["entries"]]
    assert begun == sorted(begun)
    assert len(log["entries"]) == 2 * 12 + 5012 + 6


def test_the_har_schema_refuses_what_is_wrong() -> None:
    """Otherwise the test above says nothing."""
    log = exported(sample_pages.page_loads())
    good = {"log": {**log, "entries": log["entries"][:3]}}
    jsonschema.validate(good, SCHEMA)
    spoils: list[Callable[[Any], object]] = [
        lambda log: log["entries"][0]["timings"].pop("wait"),
        lambda log: log["entries"][0]["response"].update(status="200"),
        lambda log: log["entries"][0].update(startedDateTime="yesterday"),
        lambda log: log.update(version="1.1"),
    ]
    for spoil in spoils:
        wrong = json.loads(json.dumps(good))
        spoil(wrong["log"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_har_without_a_page_load_or_without_its_files() -> None:
    """Neither is an empty archive: it is refused with what to do; a part of the files is said to be one."""
    with pytest.raises(CannotRender) as none:
        exported(sample_reports.office())
    assert "web_page" in str(none.value.remedy)
    with pytest.raises(CannotRender) as lost:
        exported(sample_pages.page_loads(), {})
    assert "4 page loads" in str(lost.value)
    assert "4 of 6 page loads" in exported(sample_pages.page_loads(lost=2))["comment"]


def test_every_request_is_a_row_in_words_too() -> None:
    """The first load: twelve rows, bars in the order of HAR's phases, and the same in the row's label."""
    first = waterfalls(page(sample_pages.page_loads()))[0]
    rows = re.findall(r"<tr[^>]*>\s*<td title.*?</tr>", first, re.S)
    assert len(rows) == 12
    assert re.findall(r'class="phase (\w+)"', rows[0]) == ["dns", "connect", "ssl", "send", "wait", "receive"]
    assert "begins at 0: name lookup 12 ms, connecting 31 ms, TLS 19 ms" in rows[0]
    assert "12 requests" in first


def test_bars_lie_within_the_axis() -> None:
    """In percent; TLS within the connection, at its end."""
    for waterfall in waterfalls(page(sample_pages.page_loads())):
        for left, width in re.findall(r"left:([0-9.]+)%;width:([0-9.]+)%", waterfall):
            assert float(left) + float(width) <= 100.01
    first = waterfalls(page(sample_pages.page_loads()))[0]
    bars = {
        phase: (float(left), float(width))
        for phase, left, width in re.findall(
            r'class="phase (\w+)" style="left:([0-9.]+)%;width:([0-9.]+)%', first.split("</tr>")[1]
        )
    }
    assert sum(bars["ssl"]) == pytest.approx(sum(bars["connect"]), abs=0.01)


def test_a_page_of_5000_resources_is_cut_and_says_so() -> None:
    """The page does not grow with it."""
    text = page(sample_pages.page_loads())
    assert "and 4952 more requests, which began later" in text
    assert len(text) < 300_000


def test_what_failed_stands_out_in_words() -> None:
    """A missing resource by its status, one without an answer by its error."""
    failing = waterfalls(page(sample_pages.page_loads()))[3]
    marked = re.findall(r'<tr class="failed">.*?</tr>', failing, re.S)
    assert len(marked) == 2
    assert any(">404<" in row for row in marked)
    assert any(">timed out<" in row for row in marked)
    assert "2 failed" in failing


@pytest.mark.parametrize("language", ["en", "zh"])
def test_hostile_archives_stay_texts(language: str) -> None:
    """Addresses and titles that are scripts neither open a tag nor load anything."""
    text = page(sample_pages.page_loads(), language)
    tags = {tag for tag, _attributes in Page(text).tags}
    assert {"script", "img", "link", "iframe"}.isdisjoint(tags)
    assert "\x1b" not in text and "\u202e" not in text


def test_files_that_are_not_at_hand_are_counted() -> None:
    """Where the report was sent elsewhere alone, it says so instead of showing nothing."""
    text = page(sample_pages.page_loads(lost=2))
    assert "the files of 2 page loads are not at hand" in text
    assert "waterfall" not in page(sample_pages.page_loads(), artifacts={}).split("<body>")[1]


def test_it_is_never_presented_as_what_a_person_sees() -> None:
    """Above the waterfalls, in both languages."""
    assert "not what a person sees" in Page(page(sample_pages.page_loads())).text
    assert "而不是人看到的" in Page(page(sample_pages.page_loads(), "zh")).text


def test_a_report_without_page_loads_has_no_such_chapter() -> None:
    assert "Page loads" not in page(sample_reports.office())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
_TIMINGS = st.dictionaries(st.sampled_from(["blocked", "dns", "ssl", "wait", "receive"]), _JSON)
_ENTRY = st.fixed_dictionaries(
    {
        "startedDateTime": st.sampled_from([sample_pages.stamp(0), sample_pages.stamp(9e9), "", "x"]) | _JSON,
        "timings": _TIMINGS | _JSON,
        "request": st.fixed_dictionaries({"url": _JSON}) | _JSON,
        "response": st.fixed_dictionaries({"status": _JSON, "bodySize": _JSON, "_error": _JSON}) | _JSON,
    }
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_ENTRY | _JSON, max_size=5), st.lists(_JSON, max_size=2))
def test_any_archive_makes_a_page(entries: list[Any], pages: list[Any]) -> None:
    """Whatever JSON lies beside the report: a well-formed page, never an exception."""
    data = json.dumps({"log": {"pages": pages, "entries": entries}}).encode()
    report = sample_pages.page_loads()
    artifacts = {report.steps[0].artifacts[0].sha256: data}
    Page(page(report, artifacts=artifacts))
