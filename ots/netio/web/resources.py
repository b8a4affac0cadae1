"""What else a page needs: the resources that its HTML and CSS name, found without running anything.

Pictures (`img`, of `srcset` the first candidate; SVG's `image`), style sheets, scripts, preloads, posters of
videos, and what styles name. Frames are pages of their own and stay out, and so does whatever a script would
ask for. Rules of a style sheet are not matched with the page: of a font's sources only the first one counts,
of everything else all.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from yarl import URL

from ots.netio.web.exchange import Kind

_CSS_URL = re.compile(
    r"""url\(\s{0,20}(?:"([^"\n]{0,2000})"|'([^'\n]{0,2000})'|([^()"'\s]{0,2000}))\s{0,20}\)""", re.IGNORECASE
)
_CSS_IMPORT = re.compile(
    r"""@import\s{1,20}(?:url\(\s{0,20})?(?:"([^"\n]{0,2000})"|'([^'\n]{0,2000})'|([^()"'\s;]{1,2000}))\)?""",
    re.IGNORECASE,
)
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_FONT = re.compile(r"@font-face\s{0,20}\{([^{}]{0,10000})\}", re.IGNORECASE)

_TAG = re.compile(r"<(?:!--|([a-zA-Z][a-zA-Z0-9-]{0,30})(?=[\s/>]))")
_ATTRIBUTE = re.compile(
    r"""[\s/]*([^\s=>"'/<]{1,100})(?:\s{0,20}=\s{0,20}(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?"""
)
_PASSED_OVER = ("noscript", "script", "style", "template", "textarea", "title", "xmp")
_END = {name: re.compile(f"</{name}", re.IGNORECASE) for name in _PASSED_OVER}

_PRELOADS: dict[str, Kind] = {"style": "stylesheet", "script": "script", "image": "image", "font": "other"}

_LOOKED_AT = 2_000_000
"""Characters: more than pages that people read have, and looked through in a second at worst."""

Found = tuple[URL, Kind]


def of_html(text: str, page: URL, most: int) -> list[Found]:
    """The first `most` resources in the order of the document, each once; looked for in its first 2 MB."""
    base, based = page, False
    found: dict[URL, Kind] = {}
    for name, given, inside in _elements(text[:_LOOKED_AT]):
        if name == "base" and not based and "href" in given:
            based, base = True, _join(page, given["href"]) or page
            continue
        for reference, kind in (*_references(name, given), *_css_references(inside)):
            url = _join(base, reference)
            if url is not None and url != page:
                found.setdefault(url, kind)
        if len(found) >= most:
            break
    return list(found.items())[:most]


def of_css(text: str, sheet: URL, most: int) -> list[Found]:
    """The first `most` that a style sheet names, each once; looked for in its first 2 MB."""
    found: dict[URL, Kind] = {}
    for reference, kind in _css_references(text[:_LOOKED_AT]):
        url = _join(sheet, reference)
        if url is not None:
            found.setdefault(url, kind)
        if len(found) >= most:
            break
    return list(found.items())


def _css_references(text: str) -> Iterator[tuple[str, Kind]]:
    bare = _CSS_COMMENT.sub(" ", text)
    for match in _CSS_IMPORT.finditer(bare):
        yield _first_group(match), "stylesheet"
    for font in _CSS_FONT.finditer(bare):
        source = _CSS_URL.search(font[1])
        if source is not None:
            yield _first_group(source), "other"
    for match in _CSS_URL.finditer(_CSS_FONT.sub(" ", _CSS_IMPORT.sub(" ", bare))):
        yield _first_group(match), "image"


def _first_group(match: re.Match[str]) -> str:
    return next((group for group in match.groups() if group), "")


def _join(base: URL, reference: str) -> URL | None:
    """An address that can be fetched, without its fragment; None for `data:`, `javascript:` and nonsense."""
    reference = reference.strip()
    if not reference or reference.startswith("#"):
        return None
    try:
        url = base.join(URL(reference)).with_fragment(None)
        usable = url.scheme in ("http", "https") and bool(url.host) and bool(url.port)
    except (ValueError, TypeError):
        return None
    return url.with_user(None) if usable else None


def _elements(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Name, attributes and (of `style` alone) text of the elements that matter, in one pass.

    Not a parser: no tree is built, so that nothing that a page can hold takes more than one look at each
    character. Passed over are comments and what is text or not for a browser with scripts.
    """
    place = 0
    while (tag := _TAG.search(text, place)) is not None:
        place = tag.end()
        if tag[1] is None:
            end = text.find("-->", place)
            place = len(text) if end < 0 else end + 3
            continue
        name = tag[1].lower()
        given: dict[str, str] = {}
        while (attribute := _ATTRIBUTE.match(text, place)) is not None:
            place = attribute.end()
            given.setdefault(
                attribute[1].lower(), html.unescape(attribute[2] or attribute[3] or attribute[4] or "")
            )
        inside = ""
        if name in _END:
            close = _END[name].search(text, place)
            stop = len(text) if close is None else close.start()
            inside = text[place:stop] if name == "style" else ""
            place = stop
        yield name, given, inside


def _references(name: str, given: dict[str, str]) -> Iterator[tuple[str, Kind]]:
    """What one element names."""
    if name == "img":
        yield given.get("src") or _first_candidate(given.get("srcset", "")), "image"
    elif name == "image":
        yield given.get("href") or given.get("xlink:href", ""), "image"
    elif name == "input" and given.get("type", "").lower() == "image":
        yield given.get("src", ""), "image"
    elif name == "video":
        yield given.get("poster", ""), "image"
    elif name == "script":
        yield given.get("src", ""), "script"
    elif name == "link":
        yield from _linked(given)
    yield from _css_references(given.get("style", ""))


def _linked(given: dict[str, str]) -> Iterator[tuple[str, Kind]]:
    relations = set(given.get("rel", "").lower().split())
    if "stylesheet" in relations and "alternate" not in relations and "disabled" not in given:
        yield given.get("href", ""), "stylesheet"
    elif "modulepreload" in relations:
        yield given.get("href", ""), "script"
    elif "preload" in relations and given.get("as", "").lower() in _PRELOADS:
        yield given.get("href", ""), _PRELOADS[given["as"].lower()]


def _first_candidate(srcset: str) -> str:
    return srcset.strip().split(",", 1)[0].strip().split(" ", 1)[0]
