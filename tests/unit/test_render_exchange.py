"""The formats for other programs: JUnit, CSV, Markdown, Nagios; each held against its grammar."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ots.model.outcome import RunState, Verdict
from ots.model.report import CaseRef, Report
from ots.reports import nagios
from ots.reports.format import View, renderer
from ots.reports.plain import plain
from ots.reports.table import BYTE_ORDER_MARK, document, harmless
from tests import plugin_output
from tests.unit import sample_reports

JUNIT = xmlschema.XMLSchema(str(Path(__file__).parents[1] / "schemas" / "junit.xsd"))


def made(name: str, report: Report, language: str = "en") -> str:
    """The report in a text format."""
    document = renderer(name).render(report, View(sample_reports.DEFINITIONS, language))
    assert isinstance(document, str)
    return document


def rows(text: str) -> list[dict[str, str]]:
    """A CSV document as a spreadsheet reads it."""
    return list(csv.DictReader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline="")))


# JUnit


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sample_reports.ALL)
def test_junit_obeys_its_schema(name: str, language: str) -> None:
    """Also where there are no steps, and where every text is hostile."""
    JUNIT.validate(made("junit", sample_reports.ALL[name](), language))


def test_the_junit_schema_refuses_what_is_wrong() -> None:
    """Otherwise the test above says nothing: a failure without a type, a case that is failed and skipped."""
    good = made("junit", sample_reports.office())
    for wrong in (
        good.replace(' type="timeout"', ""),
        good.replace("</failure>", '</failure><skipped message="x" />'),
        good.replace('tests="12"', 'tests="twelve"'),
        re.sub(r'(<testcase [^>]* time="\d+\.\d+)', r"\g<1>000", good),
        re.sub(r"(<testcase [^>]*>)", r"\1<properties />", good, count=1),
        good.replace("<testsuites ", '<testsuites skipped="1" '),
    ):
        assert wrong != good
        assert not JUNIT.is_valid(wrong)


def test_junit_has_a_case_for_each_step_with_its_verdict() -> None:
    """Failure, error and skipped; the rest passes; the suite and the output have the verdict."""
    suite = ElementTree.fromstring(made("junit", sample_reports.office())).find("testsuite")
    assert suite is not None
    found = {}
    for case in suite.iter("testcase"):
        if case.get("name") == "precheck":
            continue
        verdict = suite.find(f"properties/property[@name='verdict.{case.get('name')}']")
        said = case.findtext("system-out")
        assert verdict is not None and said is not None
        assert said.startswith(f"verdict: {verdict.get('value')}\nprobe: ")
        problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        kind = None if problem is None else (problem.tag, problem.get("type"))
        found[case.get("name")] = (verdict.get("value"), kind)
    assert found["gateway"] == ("pass", None)
    assert found["page"] == ("measured", None)
    assert found["loaded"] == ("warn", None)
    assert found["mail"] == ("fail", ("failure", "timeout"))
    assert found["raw"] == ("error", ("error", "permission"))
    assert found["path"] == ("skipped", ("skipped", None))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        *("12", "1"),
        *("1", "1"),
    )
    skipped = suite.find("testcase[@name='path']/skipped")
    assert skipped is not None
    assert "apt install mtr-tiny" in (skipped.get("message") or "")
    note = suite.find("testcase[@name='loaded']/system-out")
    assert note is not None
    assert "\nwarn: Round-trip time p95" in (note.text or "")


def test_a_breached_limit_is_a_failure_of_type_threshold() -> None:
    """The step succeeded; what failed is the limit."""
    report = sample_reports.quick_ping()
    step = report.steps[0]
    limit = sample_reports.threshold(
        sample_reports.LOSS, "value", step.metrics, verdict="fail", fail="<= 1 %"
    )
    step.thresholds, step.verdict = [limit], "fail"
    failure = ElementTree.fromstring(made("junit", report)).find(".//failure")
    assert failure is not None
    assert failure.get("type") == "threshold"
    assert failure.get("message") == "Packet loss 4 % (fail above 1 %)"


@pytest.mark.parametrize("name", ["aborted", "nothing"])
def test_a_run_that_was_cut_short_is_never_green(name: str) -> None:
    """A build server looks at errors and failures alone."""
    root = ElementTree.fromstring(made("junit", sample_reports.ALL[name]()))
    error = root.find(".//testcase[@name='run']/error")
    assert error is not None
    assert error.get("type") == sample_reports.ALL[name]().run.reason
    assert int(root.get("errors") or 0) >= 1


@given(text=st.text(max_size=80))
def test_junit_survives_every_text(text: str) -> None:
    """Control characters, lone surrogates, non-characters: the document stays well-formed and encodable."""
    report = sample_reports.quick_ping()
    report.case = CaseRef(id="a" + text, version=1, sha256="0" * 64)
    report.steps[0].key = "b" + text
    report.tags = {"t" + text: text}
    JUNIT.validate(ElementTree.fromstring(made("junit", report).encode()))


# CSV


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("form", ["csv", "csv-samples"])
@pytest.mark.parametrize("name", sample_reports.ALL)
def test_csv_opens_in_a_spreadsheet(name: str, form: str, language: str) -> None:
    """Byte-order mark, CRLF alone, the same columns in every row; no cell that would be computed."""
    text = made(form, sample_reports.ALL[name](), language)
    assert text.encode().startswith(b"\xef\xbb\xbf")
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    for row in csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline="")):
        assert len(row) == len(made(form, sample_reports.nothing()).split(","))
        for cell in row:
            assert re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell) or cell[:1] not in tuple("=+-@\t\r")


def test_csv_has_a_row_for_each_metric_and_label_set() -> None:
    """Numbers in base units to the last digit; why a statistic is missing stands beside."""
    report = sample_reports.lookups()
    found = rows(made("csv", report, "zh"))
    assert len(found) == sum(len(step.metrics) for step in report.steps)
    lookup = next(row for row in found if row["metric"] == "dns_lookup_seconds")
    assert float(lookup["median"]) == report.steps[0].metrics[0].stats["median"]
    assert (lookup["target"], lookup["labels"], lookup["unit"]) == ("www.example", "server=192.0.2.53", "s")
    assert lookup["p99"] == ""
    assert "p99: too_few_samples" in lookup["missing"]
    state = next(row for row in found if row["metric"] == "dns_rcode")
    assert state["histogram"] == "NOERROR: 4; SERVFAIL: 1"


def test_csv_samples_has_a_row_for_each_sample_also_a_lost_one() -> None:
    """25 were tried; the 14th has no value but a reason."""
    found = rows(made("csv-samples", sample_reports.quick_ping()))
    assert len(found) == 25
    assert [row["missing"] for row in found if row["value"] == ""] == ["loss"]
    assert found[13]["t_seconds"] == "2.6"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 571", "'+49 571"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =cmd|' /C calc'!A0", "  '=cmd|' /C calc'!A0"),
        ("\t=1", "' '=1"),
        ("\rx", "'\ufffdx"),
        ("＝1+1", "'＝1+1"),
        ("a;=1", "a;'=1"),
        ("a-b", "a-b"),
        ("杭州", "杭州"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_compute_becomes_text(text: str, cell: str) -> None:
    """An apostrophe before it; other texts stay as they are."""
    assert harmless(text) == cell


@given(
    before=st.text(alphabet=" \t\r\n\"';,a\u3000\xa0", max_size=4),
    sign=st.sampled_from("=+-@＝＋－＠"),
    after=st.text(max_size=9),
)
def test_no_text_is_computed_and_none_leaves_its_cell(before: str, sign: str, after: str) -> None:
    """Whether it is cut at commas, as it is written, or at semicolons, as some spreadsheets do."""
    text = before + sign + after
    written = document([[text, "next"]]).removeprefix(BYTE_ORDER_MARK)
    cell, neighbour = next(csv.reader(io.StringIO(written, newline="")))
    assert neighbour == "next"
    assert not any(part.lstrip().startswith(tuple("=+-@＝＋－＠")) for part in cell.split(";"))
    assert cell.replace("'", "") == plain(text).replace("'", "")


# Markdown


MARKDOWN_TAGS = {
    *("h1", "h2", "p", "strong", "ul", "li"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def tables(self) -> list[list[int]]:
        """The number of cells in each row of each table."""
        found: list[list[int]] = []
        for tag in self.seen:
            if tag == "table":
                found.append([])
            elif tag == "tr":
                found[-1].append(0)
            elif tag in ("th", "td"):
                found[-1][-1] += 1
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def as_html(markdown: str) -> _Tags:
    """What a renderer that lets HTML through makes of it."""
    tags = _Tags()
    tags.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    return tags


def test_markdown_says_verdict_limits_steps_and_what_is_missing() -> None:
    """In this order; every step has its row, every limit too."""
    text = made("markdown", sample_reports.office())
    assert text.startswith("# Office broadband: fail\n\n**mail: timed out")
    assert text.index("## Limits") < text.index("## Steps") < text.index("## What was not measured")
    assert (
        "| gateway | Packet loss \\[192.0.2.1\\]: ≤ 1 %, else fail | 0 % | 0–0.95 % | 400 | ✔ pass |" in text
    )
    missing = text[text.index("## What was not measured") :]
    assert "- path: not supported" in missing
    assert "- mail: Mail delivery time: lost" in missing
    assert "- gateway" not in missing
    tags = as_html(text)
    assert tags.seen.count("table") == 2
    assert tags.seen.count("tr") == 1 + 4 + 1 + 11


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sample_reports.ALL)
def test_markdown_renders(name: str, language: str) -> None:
    """Headings, paragraphs, lists and whole tables, nothing else; a row for each limit and each step."""
    report = sample_reports.ALL[name]()
    tags = as_html(made("markdown", report, language))
    assert set(tags.seen) <= MARKDOWN_TAGS
    assert tags.seen.count("h1") == 1
    limits = sum(len(step.thresholds) for step in report.steps)
    tables = [(6, limits), (5, len(report.steps))]
    wanted = [(columns, rows) for columns, rows in tables if rows]
    assert tags.tables() == [([columns] * (rows + 1)) for columns, rows in wanted]


def test_markdown_lets_nothing_out_of_its_cell() -> None:
    """Pipes, tags, links and line breaks of a hostile report are text; the tables keep their shape."""
    report = sample_reports.hostile()
    report.steps[0].key = "a|b\n# c [x](javascript:1) ![y](z) `d` *e*"
    tags = as_html(made("markdown", report))
    assert set(tags.seen) <= MARKDOWN_TAGS
    assert tags.seen.count("td") == 5 * len(report.steps)
    assert '<script>alert("owned")</script>' in tags.text


def test_a_killed_run_does_not_claim_that_nothing_is_missing() -> None:
    """No steps, and no word of completeness."""
    text = made("markdown", sample_reports.nothing())
    assert "- the run was cut short: the program was killed" in text
    assert "Nothing was left out" not in text


# Nagios


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sample_reports.ALL)
def test_nagios_output_obeys_its_grammar(name: str, language: str) -> None:
    """Status, text, performance data, then a line for each step; the state is that of the exit code."""
    report = sample_reports.ALL[name]()
    output = plugin_output.parse(made("nagios", report, language))
    assert output.state == nagios.NAMES[nagios.state_of(report)]
    assert len(output.more) == len(report.steps)
    assert bool(output.data) is (name != "nothing")


@given(text=st.text(min_size=1, max_size=40))
def test_no_name_breaks_the_grammar(text: str) -> None:
    """Bars, quotes, line breaks, equals signs in names, targets and labels stay text."""
    report = sample_reports.report(
        [sample_reports.ping("a" + text, {text: [0.01, 0.02], "b": [0.01, 0.03]})] * 2
    )
    report.case = CaseRef(id="c" + text, version=1, sha256="0" * 64)
    assert plugin_output.parse(made("nagios", report)).data


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "PING OK - fine",
        "PING FINE - ok\n",
        "PING OK\n",
        "PING OK - fine |\n",
        "PING OK - fine | \n",
        "PING OK - fine | 'a'=1 'a'=2\n",
        "PING OK - fine | a=1\n",
        "PING OK - fine | 'a=b'=1\n",
        "PING OK - fine | 'a'=1e-3s\n",
        "PING OK - fine | 'a'=1bit\n",
        "PING OK - fine | 'a'=1,5s\n",
        "PING OK - fine | 'a'=1s;\n",
        "PING OK - fine | 'a'=1s;9:1\n",
        "PING OK - fine | 'a'=1s;@\n",
        "PING OK - fine | 'a'=1s;:\n",
        "PING OK - fine | 'a'=1s;1;2;0;5;6\n",
        "PING OK - fine | 'a'=101%;;;0;100\n",
        "PING OK - fine | 'a'=1s 'b'=2s | 'c'=3s\n",
        "PING OK - fine | 'a'=1s  'b'=2s\n",
        "PING OK - fine | 'a'=1s\nmore | 'b'=1\n",
        "PING OK - fine\n\nmore\n",
        "PING OK - fine\nmo\x1b[31mre\n",
    ],
)
def test_the_grammar_refuses_what_is_wrong(wrong: str) -> None:
    """Otherwise the tests above say nothing."""
    with pytest.raises(plugin_output.Malformed):
        plugin_output.parse(wrong)


def test_nagios_shows_values_with_their_ranges() -> None:
    """Value, unit, warning, critical, least, most: as the limits were written."""
    first = made("nagios", sample_reports.office()).splitlines()[0]
    assert first.startswith("OFFICE-BROADBAND CRITICAL - mail: timed out")
    assert "'loaded/ping_rtt_seconds.p95'=0.2232336s;@0.06:;@0.4:" in first
    assert "'gateway/ping_packet_loss_ratio 192.0.2.1'=0%;;~:1;0;100" in first
    assert "'up/http_upload_throughput_bits_per_second.mean'=37423319.09600001;30000000:;20000000:" in first


@pytest.mark.parametrize(
    "expression",
    ["< 5", "<= 5", "> 5", ">= 5", "== 5", "!= 5", "between 2 and 5", "in [5]"],
)
def test_a_range_alerts_exactly_where_the_limit_is_breached(expression: str) -> None:
    """Below, at and above each bound."""
    from ots.schema.expression import Expression

    required = Expression.parse(expression, "number")
    written = nagios.alert_range(expression, "{packet}", "ping_duplicates")
    read = plugin_output.parse_range(written)
    assert read is not None
    for value in (-1.0, 0.0, 1.9, 2.0, 3.0, 4.999, 5.0, 5.001, 9.0):
        assert read.alerts(value) is not required.holds(value), (expression, written, value)


def test_a_set_of_several_values_has_no_range() -> None:
    """Nothing is better than a wrong range; nor is there one for what is no limit."""
    assert nagios.alert_range("in [1, 5]", "1", "x_count") == ""
    assert nagios.alert_range("nonsense", "s", "x_seconds") == ""
    assert nagios.alert_range(None, "s", "x_seconds") == ""


@pytest.mark.parametrize(
    ("verdict", "state", "code", "strict"),
    [
        ("measured", "completed", 0, 0),
        ("pass", "completed", 0, 0),
        ("warn", "completed", 1, 2),
        ("fail", "completed", 2, 2),
        ("error", "completed", 3, 3),
        ("skipped", "completed", 3, 3),
        ("pass", "aborted", 3, 3),
        ("fail", "aborted", 2, 2),
    ],
)
def test_the_state_of_a_run(verdict: Verdict, state: RunState, code: int, strict: int) -> None:
    """A proven breach stays critical; what was cut short is not OK."""
    report = sample_reports.quick_ping()
    report.verdict = verdict
    report.run.state = state
    assert nagios.state_of(report) == code
    assert nagios.state_of(report, warn_as_fail=True) == strict


def test_performance_data_is_bounded() -> None:
    """A thousand targets don't make a line that monitoring cuts in the middle of a label."""
    report = sample_reports.report(
        [sample_reports.ping("ping", {f"host-{n}.example": [0.01, 0.02] for n in range(1000)})]
    )
    text = made("nagios", report)
    assert len(text.splitlines()[0].encode()) < 5000
    assert len(plugin_output.parse(text).data) > 20
