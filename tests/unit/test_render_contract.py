"""What every report format promises, over every sample report."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from ots.model.report import Report
from ots.reports.format import NAMES, Format, View, renderer
from ots.schema.report import ReportError, read_report, report_schema, upgraded
from tests.unit import sample_reports

GOLDEN = Path(__file__).parents[1] / "golden" / "report-1.0.0.json"
FORMATS = tuple(name for name in NAMES if name not in ("har", "pdf"))
"""Those that every report has, and in no time; a HAR is only of page loads, test_render_pdf sets paper."""


@pytest.mark.parametrize("name", NAMES)
def test_a_format_says_what_it_is(name: str) -> None:
    """The module's FORMAT carries its own name, an extension without a dot and a media type."""
    declared = renderer(name).FORMAT
    assert isinstance(declared, Format)
    assert declared.name == name
    assert "." not in declared.extension
    assert "/" in declared.media_type


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("report_name", sample_reports.ALL)
@pytest.mark.parametrize("name", FORMATS)
def test_every_report_renders_the_same_each_time(name: str, report_name: str, language: str) -> None:
    """Rendering is pure: equal reports give equal documents, and the report stays as it was."""
    report = sample_reports.ALL[report_name]()
    view = View(sample_reports.DEFINITIONS, language, 80)
    first = renderer(name).render(report, view)
    assert report == sample_reports.ALL[report_name]()
    assert renderer(name).render(sample_reports.ALL[report_name](), view) == first
    assert isinstance(first, bytes) == renderer(name).FORMAT.binary
    assert first


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_of_unknown_metrics_renders(name: str) -> None:
    """Without a single definition (a third party's probe, not installed here) a report is still readable."""
    text = renderer(name).render(sample_reports.office(), View())
    assert isinstance(text, str)
    assert "rtt" in text.lower()


@pytest.mark.parametrize("report_name", sample_reports.ALL)
def test_json_is_the_report_and_obeys_the_published_schema(report_name: str) -> None:
    """What is written reads back equal, and the JSON Schema accepts it."""
    report = sample_reports.ALL[report_name]()
    text = renderer("json").render(report, View())
    assert isinstance(text, str)
    assert read_report(text.encode()) == report
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(text))


def test_the_schema_wants_every_key() -> None:
    """A report with a key taken out is refused by the JSON Schema."""
    document = json.loads(msgspec.json.encode(sample_reports.quick_ping()))
    del document["steps"][0]["metrics"][0]["nulls"]
    errors = list(jsonschema.Draft202012Validator(report_schema()).iter_errors(document))
    assert errors


def test_the_published_schema_is_the_one_of_the_model() -> None:
    """ots/schema/report-1.json is what report_schema() makes of the present model."""
    published = Path(__file__).parents[2] / "ots" / "schema" / "report-1.json"
    assert json.loads(published.read_text(encoding="utf-8")) == report_schema()


def test_a_report_of_version_1_0_0_still_reads() -> None:
    """The golden file of 1.0.0, written once, holds what it held then."""
    report = read_report(GOLDEN.read_bytes())
    assert report.verdict == "fail"
    assert [step.key for step in report.steps][:3] == ["gateway", "neighbours", "page"]
    assert report.steps[0].metrics[0].stats["p95"] == 0.0143173
    assert report.steps[0].thresholds[0].warn == "< 60 ms"


def test_a_report_of_version_1_1_0_still_reads() -> None:
    """The golden file of 1.1.0, which first had grades of validity, holds what it held then."""
    report = read_report(GOLDEN.with_name("report-1.1.0.json").read_bytes())
    grades = {step.key: None if step.validity is None else step.validity.grade for step in report.steps}
    assert grades == {"full": "high", "held": "low", "delayed": "low", "calm": None}
    held = next(step.validity for step in report.steps if step.key == "held")
    assert held is not None
    assert held.findings[0].code == "window_limited"
    assert held.findings[0].evidence == {"window_full_seconds": 3.5, "watched_seconds": 3.9}


def test_unknown_keys_of_the_same_major_are_ignored() -> None:
    """A report of a newer minor version with a key that nobody here knows is read."""
    document = json.loads(GOLDEN.read_bytes())
    document["schema"]["version"] = "1.7.0"
    document["x_vendor"] = {"any": "thing"}
    document["steps"][0]["novel"] = 1
    assert read_report(json.dumps(document).encode()).schema.version == "1.7.0"


def test_a_newer_major_is_refused_with_both_numbers() -> None:
    """The message names the version found and the one that can be read, and what to do."""
    document = json.loads(GOLDEN.read_bytes())
    document["schema"]["version"] = "2.1.0"
    with pytest.raises(ReportError, match=r"version 2\.1\.0; this OTS reads up to version 1: update OTS"):
        read_report(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"schema": {"name": "ots.report", "version": "one"}}',
        b'{"schema": {"name": "ots.case", "version": "1.0.0"}}',
        b'{"schema": {"name": "ots.report", "version": "1.0.0"}}',
        b'{"schema": ' + b"[" * 200_000,
    ],
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    """Garbage, other documents and half reports end in a ReportError, never in another exception."""
    with pytest.raises(ReportError):
        read_report(data)


def test_an_older_report_goes_through_every_upgrade_in_turn() -> None:
    """Upgrades are applied one major after the other; one that is missing is named."""
    upgrades = {0: lambda document: {**document, "name": document["title"]}}
    assert upgraded({"title": "x"}, 0, upgrades) == {"title": "x", "name": "x"}
    with pytest.raises(ReportError, match="version 0 can't be read"):
        upgraded({}, 0, {})


def test_sample_reports_are_reports() -> None:
    """The samples hold what the model allows and nothing else, so that the tests above mean something."""
    for make in sample_reports.ALL.values():
        report = make()
        assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
