"""Which characters the bytes of a document mean."""

from __future__ import annotations

import codecs
import re

_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_PARAMETER = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_PRESCAN = 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_KNOWN = re.compile(
    r"utf-8|utf-16(-[lb]e)?|ascii|iso8859-\d+|cp\d+|koi8-[ru]|mac-(cyrillic|roman)"
    r"|gb2312|gbk|gb18030|big5(hkscs)?|euc_(jp|kr)|shift_jis|iso2022_jp|tis-620"
)
"""Python's names of the encodings that pages are written in; what else it knows (punycode, unicode_escape …)
is no encoding of a page, and some of it is slow on purpose-made bytes."""


def text_of(body: bytes, content_type: str) -> str:
    """The text of a document: byte order mark, header, meta element, else UTF-8 (HTML section 13.2.3).

    A name that nobody knows, and bytes that don't fit, never fail: what can't be read becomes U+FFFD.
    """
    for mark, marked in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(marked, "replace")
    said = _PARAMETER.search(content_type)
    meta = _META.search(body[:_PRESCAN])
    for name in (said[1] if said else None, meta[1].decode("ascii") if meta else None):
        codec = None if name is None else _codec(name)
        if codec is not None:
            return body.decode(codec, "replace")
    return body.decode("utf-8", "replace")


def _codec(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return found if _KNOWN.fullmatch(found) else None
