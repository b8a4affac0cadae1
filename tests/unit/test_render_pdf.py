"""The PDF report on paper: its words, its pages, its colours, and that it reads nothing and runs nothing."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from ots.commands.output import CommandError
from ots.commands.run_options import check_format
from ots.model.report import Report
from ots.reports import paper, pdf
from ots.reports.format import CannotRender, View
from ots.reports.page import Page, page_of
from ots.reports.reading import Reader
from ots.reports.words import Words
from tests.peers.require import require
from tests.unit import sample_pages, sample_reports

SAMPLES = [
    *((name, "en") for name in sample_reports.ALL),
    *((name, "zh") for name in ("office", "hostile", "nothing")),
]


class Heard(logging.Handler):
    """What the renderer says in its log while this is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> Heard:
        pdf.log.addHandler(self)
        return self

    def __exit__(self, *_error: object) -> None:
        pdf.log.removeHandler(self)


def printed(report: Report, language: str = "en") -> tuple[bytes, list[str]]:
    """A report on paper, and what was said about it in the log."""
    with Heard() as heard:
        return pdf.render(report, View(sample_reports.DEFINITIONS, language)), heard.lines


@cache
def _set_once(name: str, language: str) -> tuple[bytes, list[str]]:
    return printed(sample_reports.ALL[name](), language)


def sample(name: str, language: str = "en") -> tuple[bytes, list[str]]:
    """One of the sample reports, set once for all tests."""
    return _set_once(name, language)


def poppler(program: str, data: bytes, *arguments: str) -> bytes:
    """What a program of poppler-utils makes of a document."""
    path = Path(require("pdftotext")).with_name(program)
    done = subprocess.run([path, *arguments], input=data, capture_output=True, timeout=60, check=True)
    assert done.stderr == b""
    return done.stdout


def pages(data: bytes) -> list[str]:
    """The text of each page."""
    text = poppler("pdftotext", data, "-layout", "-", "-").decode()
    return text.removesuffix("\f").split("\f")


def words_of(data: bytes) -> str:
    return " ".join(" ".join(pages(data)).split())


@cache
def pictures(name: str, language: str) -> list[Image.Image]:
    """Each page as a picture, 40 dots an inch."""
    stream = poppler("pdftoppm", sample(name, language)[0], "-r", "40", "-")
    found = []
    for part in re.split(rb"(?=P6\n\d+ \d+\n255\n)", stream)[1:]:
        found.append(Image.open(io.BytesIO(part)).convert("RGB"))
    return found


def ink(picture: Image.Image, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> int:
    """Pixels that are not white in a part of a page, given in shares of its sides."""
    width, height = picture.size
    part = picture.crop(
        (int(box[0] * width), int(box[1] * height), int(box[2] * width), int(box[3] * height))
    )
    return sum(1 for value in part.convert("L").tobytes() if value < 235)


def colours(picture: Image.Image) -> Counter[str]:
    """How many pixels of a page are blue, red or black."""
    data = picture.tobytes()
    found: Counter[str] = Counter()
    for red, green, blue in zip(data[0::3], data[1::3], data[2::3], strict=True):
        if blue > red + 50 and blue > green + 20:
            found["blue"] += 1
        elif red > green + 60 and red > blue + 60:
            found["red"] += 1
        elif max(red, green, blue) < 40:
            found["black"] += 1
    return found


def inflated(data: bytes) -> bytes:
    """A document with all that is compressed in it."""
    found = [data]
    for stream in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", data, re.S):
        with contextlib.suppress(zlib.error):
            found.append(zlib.decompress(stream[1]))
    return b"\n".join(found)


@pytest.mark.parametrize(("name", "language"), SAMPLES)
def test_every_report_prints_without_a_complaint(name: str, language: str) -> None:
    """No unknown style, no missing glyph, nothing refused; every page says which of how many it is."""
    data, complaints = sample(name, language)
    assert complaints == []
    found = pages(data)
    for number, text in enumerate(found, start=1):
        assert re.search(rf"#\d+\s*·\s*{number} / {len(found)}\s*$", text), text[-200:]


def test_the_first_page_has_verdict_reason_and_circumstances() -> None:
    """Before any table, as on the screen."""
    first = " ".join(pages(sample("office")[0])[0].split())
    words = ["report #412", "Office broadband", "FAIL mail: timed out", "HZ-117", "2025-03-01 08:15:30 UTC"]
    places = [first.index(word) for word in [*words, "192.0.2.77", "Results"]]
    assert places == sorted(places)


def test_limits_figures_gaps_and_methods_are_all_there() -> None:
    """What the page has, paper has too, but for the samples, and the last line says where they are."""
    text = words_of(sample("office")[0])
    assert "192.0.2.1 < 60 ms, else warn 14.3 ms ✔ pass 2/2 valid" in text
    for part in ("outside of the chart", "3 lost", "All figures", "no such device", "RFC 6673", "0192f6a2-"):
        assert part in text
    assert "Samples" not in text
    assert text.count("Made by OTS. Single samples are in this report's HTML and JSON forms.") == 1


def test_the_number_of_pages_is_that_of_a_report() -> None:
    """A short one fits on a few sheets, eleven steps on a dozen, a run that measured nothing on one."""
    assert len(pages(sample("nothing")[0])) == 1
    assert len(pages(sample("quick_ping")[0])) <= 3
    assert 8 <= len(pages(sample("office")[0])) <= 14


def test_chinese_stands_on_paper_as_text() -> None:
    """Headings, verdicts and names can be read, searched and copied."""
    data = sample("office", "zh")[0]
    text = words_of(data)
    assert re.search(rb"/Lang \(zh-Hans\)", inflated(data))
    for part in ("办公室宽带", "不通过", "结果", "图表", "未测项及原因", "方法与版本", "报告 #412"):
        assert part in text
    assert "杭州市西湖区文三路四百七十八号华星时代广场宽带测试点" in words_of(
        sample("hostile", "zh")[0]
    ).replace(" ", "")


def test_the_charts_are_drawn_in_their_colours() -> None:
    """Curves in blue, losses and limits in red; nothing is black, as a shape without a style would be."""
    drawn = [number for number, text in enumerate(pages(sample("office")[0])) if "1 min 20 s" in text]
    found = sum((colours(pictures("office", "en")[number]) for number in drawn), Counter[str]())
    assert found["blue"] > 400
    assert found["red"] > 200
    assert found["black"] == 0


@pytest.mark.parametrize(("name", "language"), [("office", "en"), ("office", "zh"), ("hostile", "zh")])
def test_nothing_leaves_the_paper(name: str, language: str) -> None:
    """The margins of every page are white, whatever the names are."""
    for picture in pictures(name, language):
        assert ink(picture) > 0
        assert ink(picture, (0, 0, 0.06, 1)) == ink(picture, (0.945, 0, 1, 1)) == 0
        assert ink(picture, (0, 0, 1, 0.04)) == ink(picture, (0, 0.975, 1, 1)) == 0


def test_no_page_but_the_last_is_left_half_empty() -> None:
    """Headings stay with what follows them, and tables break between rows, so that pages are full."""
    for picture in pictures("office", "en")[:-1]:
        assert ink(picture, (0, 0.55, 1, 0.9)) > 50


def test_hostile_texts_are_text() -> None:
    """They are shown; nothing runs, links, or is attached."""
    data = sample("hostile")[0]
    assert '<script>alert("owned")</script>' in words_of(data)
    facts = poppler("pdfinfo", data, "-").decode()
    assert re.search(r"^JavaScript:\s+no$", facts, re.M)
    assert re.search(r"^Tagged:\s+yes$", facts, re.M)
    assert re.search(r"^Title:\s+fail · <script>alert", facts, re.M)
    for word in (b"/JavaScript", b"/JS", b"/Launch", b"/URI", b"/EmbeddedFile", b"/OpenAction"):
        assert word not in inflated(data)
    assert b"/StructTreeRoot" in inflated(data)


_WATCHED = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args[0] if args else ""))))
from ots.reports import pdf
from ots.reports.format import View
from tests.unit import sample_reports
report = sample_reports.hostile()
report.steps[0].log[0].text = "<img src=file:///etc/hostname><link rel=stylesheet href=http://192.0.2.1/>"
pdf.setter("en")
del seen[:]
assert pdf.render(report, View(sample_reports.DEFINITIONS)).startswith(b"%PDF")
for event, what in seen:
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.system", "urllib.Request"):
        print(event, what)
    if event == "open" and what.startswith("/etc/hostname"):
        print(event, what)
"""


def test_it_asks_for_no_file_and_no_address() -> None:
    """Watched by the interpreter's audit hook while it sets a report that asks for both."""
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_it_would_load_is_refused_and_told() -> None:
    """Were there a picture in a page after all: no request, and a line in the log."""
    page = '<body style="background: url(http://192.0.2.1/x.png)"><img src="file:///etc/hostname">'
    with Heard() as heard, pdf._complaints(Words("en")):
        document = pdf._parsed(pdf.setter("en"), page)
        assert pdf._set(document, Words("en")).startswith(b"%PDF")
    assert any("disallowed protocol: http://192.0.2.1/x.png" in line for line in heard.lines)
    assert any("disallowed protocol: file:///etc/hostname" in line for line in heard.lines)


def test_a_character_that_no_font_has_is_told_with_a_remedy() -> None:
    """One line for all of them; the document is made."""
    report = sample_reports.quick_ping()
    report.job.notes = ["\u0378\u0379"]
    told = [line for line in printed(report)[1] if "No font" in line]
    assert len(told) == 1
    assert "\u0378" in told[0] and "\u0379" in told[0] and "fonts-noto-cjk" in told[0]


def test_equal_reports_give_equal_documents() -> None:
    """No time of day, no random identifier."""
    assert printed(sample_reports.quick_ping()) == sample("quick_ping")


def paper_of(report: Report) -> Page:
    reader = Reader(View(sample_reports.DEFINITIONS))
    return paper.on_paper(page_of(report, reader, {}), reader.words)


def test_a_thousand_targets_are_cut_and_the_broken_limits_stay() -> None:
    """The last one failed: it is among the sixty, and the step says how many there were."""
    step = sample_reports.ping("sweep", {f"h{n}.example": [0.01, 0.02] for n in range(1000)})
    step.thresholds = [
        sample_reports.threshold(sample_reports.LOSS, "value", step.metrics, verdict="fail", fail="<= 1 %")
    ]
    for judgement in step.thresholds[0].judgements:
        judgement.verdict = "pass"
    step.thresholds[0].judgements[-1].verdict = "fail"
    page = paper_of(sample_reports.report([step]))
    assert len(page.steps[0].rows) == paper.MOST_ROWS_OF_A_STEP
    assert [row.target for row in page.steps[0].rows if row.verdict == "fail"] == ["h999.example"]
    assert page.steps[0].said == ["60 of 1000 on paper; the HTML and JSON reports have them all"]
    assert len(page.details[0].figures) == paper.MOST_ROWS_OF_A_STEP
    assert any(
        fact.name == "All figures" and fact.value.startswith("60 of ") for fact in page.details[0].facts
    )


def test_many_steps_have_their_results_and_not_all_their_details() -> None:
    """The document says in its last table what it leaves out."""
    steps = [sample_reports.ping(f"p{n}", {"192.0.2.1": [0.01] * 9}) for n in range(160)]
    page = paper_of(sample_reports.report(steps))
    assert len(page.steps) == 160
    assert len(page.details) == paper.MOST_STEPS
    assert sum(len(axis) for axis in page.charts) == paper.MOST_DRAWINGS
    told = {fact.name: fact.value for fact in page.versions if "on paper" in fact.value}
    assert told["Steps in detail"].startswith("150 of 160 ")
    assert told["Charts"].startswith("100 of 160 ")


def test_a_page_full_of_steps_without_a_result_prints() -> None:
    """A run of headings alone, more than a page holds, has nothing to stay together with."""
    steps = [
        sample_reports.step(f"s{n}", "ping", ["192.0.2.1"], verdict="skipped", outcome="skipped")
        for n in range(90)
    ]
    data, complaints = printed(sample_reports.report(steps))
    assert complaints == []
    assert "s89" in words_of(data)


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured, with the code of wrong usage; the renderer itself says the same."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(CommandError) as refused:
        check_format("pdf", Path("out.pdf"))
    assert refused.value.code == 2
    assert "needs the extra pdf" in str(refused.value)
    assert refused.value.remedy == "pip install 'ots-toolkit[pdf]'"
    with pytest.raises(CannotRender) as cannot:
        pdf.render(sample_reports.nothing(), View())
    assert cannot.value.remedy == refused.value.remedy


def test_without_the_systems_library_it_names_the_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """WeasyPrint loads Pango when it is imported, and fails with an OSError where there is none."""
    (tmp_path / "weasyprint.py").write_text("raise OSError(\"cannot load library 'libpango-1.0-0'\")\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
    with pytest.raises(CannotRender, match="libpango") as cannot:
        pdf.render(sample_reports.nothing(), View())
    assert "apt install libpango-1.0-0" in (cannot.value.remedy or "")
    with pytest.raises(CommandError, match="libpango") as refused:
        check_format("pdf", Path("out.pdf"))
    assert (refused.value.code, refused.value.remedy) == (2, cannot.value.remedy)


def test_page_loads_are_on_paper_and_long_ones_are_cut() -> None:
    """The waterfalls with their first requests, and a word about the others."""
    view = View(sample_reports.DEFINITIONS, artifacts=sample_pages.ARTIFACTS)
    report = sample_pages.page_loads()
    reader = Reader(view)
    (loads,) = paper.on_paper(page_of(report, reader, view.artifacts), reader.words).page_loads
    assert [len(waterfall.rows) for waterfall in loads.waterfalls] == [12, 12, 30, 6]
    assert loads.waterfalls[2].note.startswith("30 of 60 on paper")
    many = replace_loads(page_of(report, reader, view.artifacts))
    (cut,) = paper.on_paper(many, reader.words).page_loads
    assert len(cut.waterfalls) == 12
    assert "12 of 20 on paper" in cut.notes[-1]


def replace_loads(page: Page) -> Page:
    """The page with the first of its waterfalls twenty times."""
    (loads,) = page.page_loads
    return replace(page, page_loads=[replace(loads, waterfalls=[loads.waterfalls[0]] * 20)])
