"""User-visible text in the reader's language: gettext catalogues under `ots/locale`.

The English text is the message id. `N_` marks a text that is declared now and translated where it is shown.
"""

from __future__ import annotations

import gettext
import os
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh")
_LOCALE = Path(__file__).parent / "locale"
_VARIABLE = "OTS_LANG"
_NEUTRAL = ("", "c", "posix")
_current = "en"


def choose(language: str | None = None) -> str:
    """Sets the language for `_`: as asked, else by OTS_LANG and the locale's environment, else English."""
    global _current
    wanted = [language] if language else [os.environ.get(name, "") for name in (_VARIABLE, "LC_ALL", "LANG")]
    for candidate in wanted:
        if candidate and candidate[:2].lower() in LANGUAGES:
            _current = candidate[:2].lower()
            return _current
    _current = "en"
    return _current


def language() -> str:
    return _current


def unknown_language() -> str | None:
    """What OTS_LANG asks for, if it is no language of ours."""
    wanted = os.environ.get(_VARIABLE, "")
    name = wanted.partition(".")[0].lower()
    return None if name in _NEUTRAL or name[:2] in LANGUAGES else wanted


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The messages of one language; English needs no file."""
    return gettext.translation("ots", _LOCALE, languages=[language], fallback=True)


def _(message: str) -> str:
    """The message in the language chosen."""
    return catalogue(_current).gettext(message) if message else ""


def ngettext(singular: str, plural: str, n: int) -> str:
    return catalogue(_current).ngettext(singular, plural, n)


def N_(message: str) -> str:
    """Marks a message for the catalogue and leaves it as it is."""
    return message


def N_plural(singular: str, plural: str) -> tuple[str, str]:
    """Marks a message with its plural for the catalogue and leaves both as they are."""
    return singular, plural
