"""`python -m docs.generator.pictures REPORT.json`: the pictures of the documentation, from a real report.

Renders the report in both languages and photographs the page in a headless Chromium, at the widths of a
desktop and of a phone, into docs/pictures.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from ots.model.report import Report
from ots.registry import kinds
from ots.reports import html
from ots.reports.format import View
from ots.schema.report import read_report
from tests.browser.chromium import browser
from tests.peers import programs

PICTURES = Path(__file__).parents[1] / "pictures"
_SCREENS = {"desktop": (1280, 960), "phone": (390, 844)}


async def photograph(report: Report, folder: Path) -> list[Path]:
    """Writes one PNG for each language and screen; returns their paths."""
    definitions = {metric.key: metric for probe in kinds().usable() for metric in probe.metrics}
    taken = []
    with tempfile.TemporaryDirectory() as workdir:
        async with browser(programs.find("chromium")) as tab:
            for language in ("en", "zh"):
                page = Path(workdir) / f"{language}.html"
                page.write_text(html.render(report, View(definitions, language)), encoding="utf-8")
                for screen, (width, height) in _SCREENS.items():
                    await tab.open(page, width=width, height=height)
                    picture = folder / f"report-{screen}-{language}.png"
                    await asyncio.to_thread(picture.write_bytes, await tab.picture())
                    taken.append(picture)
    return taken


if __name__ == "__main__":
    for path in asyncio.run(photograph(read_report(Path(sys.argv[1]).read_bytes()), PICTURES)):
        print(path)
