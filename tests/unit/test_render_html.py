"""The HTML report as text: complete, self-contained, escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ots.reports import html
from ots.reports.format import View
from tests.unit import sample_reports

_VOID = {"meta", "br"}
_LOADING = {"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href", "formaction"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains about tags that don't match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def source(name: str, language: str = "en") -> str:
    """A sample report's page."""
    return html.render(sample_reports.ALL[name](), View(sample_reports.DEFINITIONS, language))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sample_reports.ALL)
def test_it_is_well_formed_and_loads_nothing(name: str, language: str) -> None:
    """No script, no attribute that fetches anything, no url() in a style, no handler."""
    text = source(name, language)
    page = Page(text)
    assert {"script", "link", "img", "iframe", "object", "embed", "base", "form"}.isdisjoint(
        tag for tag, _attributes in page.tags
    )
    for _tag, attributes in page.tags:
        assert _LOADING.isdisjoint(attributes)
        assert not any(attribute.startswith("on") for attribute in attributes)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_its_policy_forbids_what_it_does_not_need() -> None:
    """The page's own Content-Security-Policy allows inline styles and data images, nothing else."""
    policies = [
        attributes["content"]
        for tag, attributes in Page(source("office")).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_the_first_screen_has_verdict_reason_and_circumstances_in_this_order() -> None:
    """Verdict and why, then who, when, where, then the table."""
    text = Page(source("office")).text
    words = ["fail", "mail: timed out", "HZ-117", "2025-03-01 08:15:30 UTC", "192.0.2.77", "KPI", "Charts"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_the_table_shows_limit_value_count_interval_and_verdict() -> None:
    """One row for each judged target with everything that it takes to believe it."""
    text = " ".join(Page(source("office")).text.split())
    assert "Round-trip time p95 192.0.2.1 < 60 ms, else warn < 150 ms, else fail 14.3 ms n = 400" in text
    assert "Packet loss 192.0.2.2 ≤ 1 %, else fail 0 % n = 400 · 95 %: 0–0.95 % ✔ pass 2/2 valid" in text


def test_down_and_up_have_charts_of_their_own_on_one_axis() -> None:
    """Download, upload and the latency meanwhile share a frame; the page before them has another."""
    text = source("office")
    frames = text.split('<div class="axis-group">')[1:]
    together = next(frame for frame in frames if "Download rate per interval" in frame)
    assert "Upload rate per interval" in together
    assert '<span class="key">loaded</span>' in together
    edges = set(re.findall(r'<g transform="translate\((\d+), \d+\)" class="plot">', together))
    assert len(edges) == 1


def test_lost_samples_are_crosses() -> None:
    """Three losses under load are three crosses in each of the two drawings."""
    figures = source("office").split("<figure>")[1:]
    frame = next(part for part in figures if '<span class="key">loaded</span>' in part)
    assert frame.count('class="cross"') == 6
    assert "3 lost" in frame


def test_a_long_series_is_condensed_and_says_so() -> None:
    """More samples than there are pixels are drawn as extremes; the list is capped with a note."""
    values = sample_reports.wave(5000, 0.02, seed=1)
    report = sample_reports.report([sample_reports.ping("long", {"192.0.2.1": values}, interval=0.01)])
    text = html.render(report, View(sample_reports.DEFINITIONS))
    assert "condensed: the smallest and the largest sample of each stretch" in text
    assert "200 of 5000 listed" in text
    assert len(text) < 150_000


def test_what_was_not_measured_has_its_reason() -> None:
    """Skipped steps, statistics without enough samples and unknown circumstances are listed."""
    text = Page(source("office")).text
    gaps = text[text.index("Not measured, and why") :]
    assert "the program mtr is not installed" in gaps
    assert "too few samples" in gaps
    assert "no such device" in gaps


def test_a_killed_run_does_not_claim_that_everything_was_measured() -> None:
    """No steps, and no word of completeness."""
    text = " ".join(Page(source("nothing")).text.split())
    assert "Everything that was asked for was measured" not in text
    assert "everything after it was cut shortthe program was killed" in text


def test_hostile_texts_are_escaped_everywhere() -> None:
    """What came from outside never opens a tag, and control characters are gone."""
    text = source("hostile")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert" in text


def test_colour_is_never_the_only_sign() -> None:
    """Every chip holds its mark and its word beside its colour."""
    chips = re.findall(
        r'<span class="chip v-(\w+)"><span aria-hidden="true">(.)</span> (\w+)</span>', source("office")
    )
    assert {(verdict, word) for verdict, _mark, word in chips} == {
        (verdict, verdict) for verdict in ("pass", "warn", "fail", "measured", "error", "skipped")
    }
    assert len({mark for _verdict, mark, _word in chips}) == 6


def test_chinese_pages_declare_and_speak_chinese() -> None:
    """The page's language is zh-Hans, its title and headings are Chinese."""
    text = source("office", "zh")
    assert '<html lang="zh-Hans">' in text
    assert "办公室宽带" in text
    for heading in ("结果", "图表", "未测项及原因", "方法与版本"):
        assert f"<h2>{heading}</h2>" in text


@pytest.mark.parametrize(("language", "words"), [("en", "not synchronised"), ("zh", "未同步")])
def test_a_clock_that_nobody_keeps_is_said_to_be_so(language: str, words: str) -> None:
    """In words a person understands, not as a source of the name none."""
    report = sample_reports.quick_ping()
    report.run.clock["source"] = "none"
    page = html.render(report, View(sample_reports.DEFINITIONS, language))
    assert words in page


def test_what_is_missing_for_one_reason_stands_in_one_row() -> None:
    """Three targets without enough samples: each figure is named once, its statistics behind it."""
    report = sample_reports.quick_ping()
    report.steps = [sample_reports.ping("many", {f"h{n}.example": [0.01, 0.02] for n in range(3)})]
    text = html.render(report, View(sample_reports.DEFINITIONS))
    gaps = text[text.index("Not measured, and why") : text.index("Method and versions")]
    rows = re.findall(r"<td>many</td><td>(.*?)</td><td>(.*?)</td>", gaps)
    reasons = [why for _what, why in rows]
    assert len(set(reasons)) == len(reasons)
    few = next(what for what, why in rows if why == "too few samples")
    assert few.count("Round-trip time") == 1 and "p95" in few


def test_it_says_under_which_licence_the_run_was_made() -> None:
    """Also what comes from a foreign report is text."""
    report = sample_reports.office()
    report.agent["licence"] = {
        "tier": "professional",
        "licence_id": "<b>7</b>",
        "serial": 7,
        "state_at_start": "valid",
        "state_at_end": "grace",
    }
    text = Page(html.render(report, View(sample_reports.DEFINITIONS, "en"))).text
    assert "professional, 7 (<b>7</b>), valid → ended, still honoured in its days of grace" in text
    report.agent["licence"] = "professional"
    Page(html.render(report, View(sample_reports.DEFINITIONS, "en")))
