"""HTML: one self-contained file without a script, for screen, phone and paper."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ots.i18n import catalogue
from ots.model.report import Report
from ots.reports.format import Format, View
from ots.reports.page import Page, page_of
from ots.reports.reading import Reader
from ots.reports.words import MARKS

FORMAT = Format("html", "html", "text/html; charset=utf-8")

_TEMPLATES = Path(__file__).parent / "templates"


def render(report: Report, view: View) -> str:
    """The page, ready to be written to a file or mailed."""
    reader = Reader(view)
    return laid_out(page_of(report, reader, view.artifacts), report, reader)


def laid_out(page: Page, report: Report, reader: Reader, *, paper: bool = False) -> str:
    """A page as HTML: for screens, or with the style sheet for paper."""
    template = _environment(reader.words.language).get_template("report.html.j2")
    return template.render(page=page, report=report, words=reader.words, marks=MARKS, paper=paper) + "\n"


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    translations = catalogue(language)
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    return environment
