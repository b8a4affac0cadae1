"""The HTML report in a real browser: loads nothing, runs nothing, fits a phone, prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from ots.reports import html
from ots.reports.format import View
from tests.browser.chromium import browser
from tests.peers.require import require
from tests.unit import sample_pages, sample_reports

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_OVERFLOWING = """
Array.from(document.querySelectorAll('body *')).filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !e.closest('.scroll');
}).map(e => e.tagName + '.' + e.className).slice(0, 5)
"""


_WORST_CONTRAST = """
(() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const luminance = color => {
    const [r, g, b] = channels(color).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor, parts = channels(color);
      if (parts.length < 4 || parts[3] > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = '.chip, small, dt, dd, p, td, th, .counts li, .entry, .why strong';
  return Array.from(document.querySelectorAll(texts))
    .filter(element => element.innerText.trim() && element.offsetWidth)
    .map(element => {
      const ink = luminance(getComputedStyle(element).color), paper = luminance(ground(element));
      const contrast = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
      return [contrast, element.className + ' ' + element.innerText.slice(0, 20)];
    })
    .sort((one, other) => one[0] - other[0])[0];
})()
"""


def page(folder: Path, name: str, language: str) -> Path:
    """A sample report as a file."""
    path = folder / f"{name}-{language}.html"
    report = sample_reports.ALL[name]()
    path.write_text(html.render(report, View(sample_reports.DEFINITIONS, language)), encoding="utf-8")
    return path


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_it_asks_the_network_for_nothing_and_nothing_goes_wrong_in_it(
    tmp_path: Path, language: str
) -> None:
    """A browser opens every sample report without a request but for the file and without a complaint."""
    async with browser(require("chromium")) as tab:
        for name in sample_reports.ALL:
            file = page(tmp_path, name, language)
            await tab.open(file, width=1280)
            assert tab.requests == [file.as_uri()], name
            assert tab.complaints == [], name


@pytest.mark.parametrize("width", [390, 1280])
async def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    """Neither a phone nor a desktop has to scroll sideways, whatever the names are."""
    async with browser(require("chromium")) as tab:
        for name in sample_reports.ALL:
            for language in ("en", "zh"):
                await tab.open(page(tmp_path, name, language), width=width)
                assert await tab.evaluate("document.documentElement.scrollWidth") <= width, name
                assert await tab.evaluate(_OVERFLOWING) == [], name


async def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    """A target that is a script is shown and neither becomes an element nor runs."""
    async with browser(require("chromium")) as tab:
        await tab.open(page(tmp_path, "hostile", "en"), width=1280)
        assert (
            await tab.evaluate("document.querySelectorAll('script, img, iframe, object, base, form').length")
            == 0
        )
        assert await tab.evaluate("document.body.innerText.includes('<script>alert(\"owned\")</script>')")
        attributes = "Array.from(document.querySelectorAll('*')).flatMap(e => e.getAttributeNames())"
        assert not any(name.startswith("on") for name in await tab.evaluate(attributes))


async def test_the_charts_show_the_curve_the_limits_and_the_losses(tmp_path: Path) -> None:
    """Lines have a visible stroke, lost samples a cross, and only the chart for this width is shown."""
    async with browser(require("chromium")) as tab:
        await tab.open(page(tmp_path, "office", "en"), width=390)
        stroke = "getComputedStyle(document.querySelector('.narrow .line-0 path.line')).stroke"
        assert await tab.evaluate(stroke) not in ("none", "", None)
        assert await tab.evaluate("document.querySelectorAll('.narrow .lost .cross').length") == 3
        assert await tab.evaluate("document.querySelector('.wide').offsetWidth") == 0
        assert await tab.evaluate("document.querySelector('.narrow').offsetWidth") > 300


@pytest.mark.parametrize("dark", [False, True])
async def test_every_text_stands_out_from_its_ground(tmp_path: Path, dark: bool) -> None:
    """Marks, chips and small print have a contrast of at least 4.5 to 1 (WCAG 2 AA), by day and by night."""
    async with browser(require("chromium")) as tab:
        await tab.open(page(tmp_path, "office", "en"), width=1280, dark=dark)
        contrast, where = await tab.evaluate(_WORST_CONTRAST)
        assert contrast >= 4.5, where


async def test_it_prints(tmp_path: Path) -> None:
    """The page becomes a PDF of a few sheets."""
    async with browser(require("chromium")) as tab:
        await tab.open(page(tmp_path, "office", "zh"), width=1280)
        paper = await tab.paper()
        assert paper.startswith(b"%PDF")
        assert 1 <= paper.count(b"/Type /Page\n") <= 12


def waterfall_page(folder: Path, language: str) -> Path:
    """A report of page loads as a file, its archives drawn."""
    path = folder / f"pages-{language}.html"
    view = View(sample_reports.DEFINITIONS, language, artifacts=sample_pages.ARTIFACTS)
    path.write_text(html.render(sample_pages.page_loads(lost=1), view), encoding="utf-8")
    return path


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_waterfall_fits_and_can_be_read(tmp_path: Path, language: str) -> None:
    """On a phone and a desktop, by day and by night: nothing overflows, bars are seen, texts stand out."""
    file = waterfall_page(tmp_path, language)
    bars = "Array.from(document.querySelectorAll('.track .phase')).filter(e => e.offsetWidth > 0).length"
    colours = (
        "new Set(Array.from(document.querySelectorAll('.load:first-of-type .track .phase'))"
        ".map(e => getComputedStyle(e).backgroundColor)).size"
    )
    async with browser(require("chromium")) as tab:
        for width, dark in ((390, False), (1280, True), (1280, False)):
            await tab.open(file, width=width, dark=dark)
            assert tab.requests == [file.as_uri()]
            assert tab.complaints == []
            assert await tab.evaluate("document.documentElement.scrollWidth") <= width
            assert await tab.evaluate(_OVERFLOWING) == []
            assert await tab.evaluate(bars) > 60
            assert await tab.evaluate(colours) >= 6
            contrast, where = await tab.evaluate(_WORST_CONTRAST)
            assert contrast >= 4.5, where
