"""PDF: the HTML report's page on A4 paper, set by WeasyPrint.

What of the page is printed, `paper` says. The setter reads nothing from disk or network but fonts, and what
it complains of goes to our own log.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from ots.model.report import Report
from ots.reports.format import CannotRender, Format, View
from ots.reports.html import laid_out
from ots.reports.page import page_of
from ots.reports.paper import on_paper
from ots.reports.reading import Reader
from ots.reports.words import Words

FORMAT = Format("pdf", "pdf", "application/pdf", binary=True)

_SVG = "{http://www.w3.org/2000/svg}"
_DRAWING = Path(__file__).parent / "templates" / "paper-drawing.css"
_NO_GLYPH = re.compile(r'unsupported by fonts: "(.)"', re.S)

_TRIPPED = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)
"""What a setter of pages raises over a page that it was not made for."""

log = logging.getLogger(__name__)


def render(report: Report, view: View) -> bytes:
    """The document; CannotRender where WeasyPrint or its libraries are not installed."""
    reader = Reader(view)
    weasyprint = setter(view.language)
    text = laid_out(
        on_paper(page_of(report, reader, view.artifacts), reader.words), report, reader, paper=True
    )
    with _complaints(reader.words):
        document = _parsed(weasyprint, text)
        _colour(document.etree_element)
        return _set(document, reader.words)


def _set(document: Any, words: Words) -> bytes:
    """The pages as a file. A page that trips WeasyPrint up ends in words, and in the log in full."""
    try:
        data: bytes = document.write_pdf(pdf_tags=True)
    except _TRIPPED:
        log.info("WeasyPrint failed", exc_info=True)
        raise CannotRender(
            words.gettext("WeasyPrint can't set this report"),
            remedy=words.gettext("--format html makes a page that a browser prints"),
        ) from None
    return data


def _parsed(weasyprint: ModuleType, text: str) -> Any:
    """A page of WeasyPrint's, which can load nothing but what it holds itself, whatever its texts say."""
    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    return weasyprint.HTML(string=text, url_fetcher=fetcher)


def setter(language: str) -> ModuleType:
    """WeasyPrint, imported late, for it takes half a second; CannotRender where it isn't usable."""
    _ = Words(language).gettext
    try:
        import weasyprint
    except ImportError as error:
        raise CannotRender(
            _("the format {name} needs the extra {extra}, which is not installed").format(
                name=FORMAT.name, extra=FORMAT.name
            ),
            remedy="pip install 'ots-toolkit[pdf]'",
        ) from error
    except OSError as error:
        raise CannotRender(
            _("WeasyPrint does not find a library of the system: {reason}").format(
                reason=str(error).partition("\n")[0]
            ),
            remedy=_("sudo apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"),
        ) from error
    module: ModuleType = weasyprint
    return module


def _colour(document: Any) -> None:
    """Puts the drawings' style sheet into each of them, for a page's own does not reach into SVG."""
    for drawing in document.iter(f"{_SVG}svg"):
        style = ElementTree.Element(f"{_SVG}style")
        style.text = _DRAWING.read_text(encoding="utf-8")
        drawing.insert(0, style)


@contextmanager
def _complaints(words: Words) -> Iterator[None]:
    """Passes on what WeasyPrint complains of while it sets one document in this thread."""
    handler = _Handler(threading.get_ident())
    source = logging.getLogger("weasyprint")
    source.addHandler(handler)
    try:
        yield
    finally:
        source.removeHandler(handler)
    if handler.unknown:
        text = words.gettext(
            "No font of this machine has {characters}: the PDF shows boxes instead. Try: {remedy}"
        )
        log.warning(
            text.format(characters=" ".join(list(handler.unknown)[:20]), remedy="apt install fonts-noto-cjk")
        )


class _Handler(logging.Handler):
    """Gathers characters without a glyph; everything else goes to our own log at once."""

    def __init__(self, thread: int) -> None:
        super().__init__(logging.WARNING)
        self._thread = thread
        self.unknown: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            return
        message = record.getMessage()
        found = _NO_GLYPH.search(message)
        if found is None:
            log.log(record.levelno, "WeasyPrint: %s", message)
        else:
            self.unknown[found[1]] = None
