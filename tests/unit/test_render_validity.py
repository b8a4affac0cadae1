"""The grade of validity stands in every format that people or programs read, in both languages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import get_args
from xml.etree import ElementTree

import pytest

from ots.model.validity import FindingCode
from ots.reports import words
from ots.reports.format import View, renderer
from ots.reports.words import Words
from tests.unit import sample_reports
from tests.unit.test_render_pdf import poppler, printed


def made(name: str, language: str = "en") -> str:
    text = renderer(name).render(sample_reports.graded(), View(sample_reports.DEFINITIONS, language, 200))
    assert isinstance(text, str)
    return text


def said(language: str) -> Iterator[str]:
    """What a reader of this language is to find."""
    spoken = Words(language)
    for code in get_args(FindingCode):
        yield spoken.of(words.FINDINGS, code)
    for grade in ("high", "medium", "low"):
        head, _colon, _rest = spoken.gettext("validity {grade}: {findings}").partition("{findings}")
        yield head.format(grade=spoken.of(words.GRADES, grade)).strip()
    yield spoken.gettext("the limit is not known")


def test_the_sample_has_every_finding() -> None:
    found = {
        finding.code
        for step in sample_reports.graded().steps
        if step.validity is not None
        for finding in step.validity.findings
    }
    assert found == set(get_args(FindingCode)) == set(words.FINDINGS)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["terminal", "html", "markdown"])
def test_people_read_each_finding_in_words(name: str, language: str) -> None:
    text = " ".join(made(name, language).replace("&#39;", "'").split())
    assert [words for words in said(language) if words not in text] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_paper_has_them_too(language: str) -> None:
    """Read in the order in which it was set: a cell's words go on in its next line."""
    data, _complaints = printed(sample_reports.graded(), language)
    text = "".join(poppler("pdftotext", data, "-raw", "-", "-").decode().split())
    assert [each for each in said(language) if "".join(each.split()) not in text] == []


def test_a_clean_latency_needs_no_remark() -> None:
    """Nothing was found against it: that is said where all is told, and not in a summary."""
    assert "nothing found against it" not in made("markdown")
    assert "nothing found against it" in made("html")


def test_spreadsheets_get_codes() -> None:
    rows = list(csv.DictReader(io.StringIO(made("csv").removeprefix("\ufeff"))))
    by_step = {row["step"]: (row["validity"], row["findings"]) for row in rows}
    assert by_step["full"] == ("high", "link_limited")
    assert by_step["held"] == ("low", "window_limited probe_limited not_stabilised few_samples")
    assert by_step["calm"] == ("medium", "")


def test_build_servers_get_codes_and_words() -> None:
    root = ElementTree.fromstring(made("junit").encode())
    outputs = {case.get("name"): case.findtext("system-out") or "" for case in root.iter("testcase")}
    assert "validity: low changed_network cross_traffic unsynchronised_clock" in outputs["delayed"]
    assert "validity high: the link was the limit" in outputs["full"]
