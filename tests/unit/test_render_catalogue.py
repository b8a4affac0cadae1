"""The message catalogues: everything a person reads is in them, in Chinese too, and compiled."""

from __future__ import annotations

import gettext
import io
import re
import string
from pathlib import Path

import pytest
from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog, Message

from docs.generator import messages
from ots import i18n
from ots.model import outcome
from ots.reports import words

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "ots" / "locale"
_LATIN_ONLY = re.compile(r"[ -~…×±–µ]*")


def ids() -> set[str]:
    """Every message id of the code and of the probes; of plural forms the singular."""
    return {message if isinstance(message, str) else message[0] for message in messages.messages()}


def chinese() -> Catalog:
    """The Chinese catalogue as it is edited."""
    return messages.load()


def single(message: Message) -> str:
    """A message's id, of plural forms the singular."""
    return message.id if isinstance(message.id, str) else message.id[0]


def translations(message: Message) -> list[str]:
    """A message's Chinese texts: one, or one for each plural form."""
    texts = message.string if isinstance(message.string, list | tuple) else [message.string]
    return [text or "" for text in texts]


def fields(text: str) -> set[str]:
    """The names that a text is filled with, in either style."""
    braces = {name for _literal, name, _spec, _conversion in string.Formatter().parse(text) if name}
    return braces | set(re.findall(r"%\((\w+)\)s", text))


def test_every_message_of_the_code_is_in_the_catalogue() -> None:
    """A new text needs its Chinese: `python -m docs.generator.messages` adds it and names it."""
    known = {single(message) for message in chinese() if message.id}
    assert sorted(ids() - known) == []


def test_the_catalogue_holds_nothing_else() -> None:
    """A text that has gone from the code goes from the catalogue."""
    known = {single(message) for message in chinese() if message.id}
    assert sorted(known - ids()) == []


def test_every_message_is_translated() -> None:
    """None is empty, none is only guessed (fuzzy)."""
    for message in chinese():
        if message.id:
            assert all(translations(message)), message.id
            assert not message.fuzzy, message.id


def test_translations_are_filled_with_the_same_names() -> None:
    """A place holder that is missing or misspelt would fail only in front of a Chinese reader."""
    for message in chinese():
        wanted = fields(message.id if isinstance(message.id, str) else message.id[1])
        for text in translations(message):
            assert fields(text) == wanted, message.id


def test_translations_are_chinese() -> None:
    """Almost every message has Chinese characters; the others are names and abbreviations."""
    latin = [message.id for message in chinese() if message.id and _LATIN_ONLY.fullmatch(str(message.string))]
    assert len(latin) <= 25, latin


@pytest.mark.parametrize("source", sorted(LOCALE.glob("*/LC_MESSAGES/*.po")), ids=lambda path: path.parts[-3])
def test_the_compiled_catalogue_is_fresh(source: Path) -> None:
    """The .mo says what the .po says; `make docs` compiles it."""
    with source.open("rb") as file:
        buffer = io.BytesIO()
        mofile.write_mo(buffer, pofile.read_po(file))
    buffer.seek(0)
    fresh = gettext.GNUTranslations(buffer)
    with source.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in chinese():
        if not message.id:
            continue
        if isinstance(message.id, str):
            assert compiled.gettext(message.id) == fresh.gettext(message.id)
        else:
            one, many = message.id
            assert compiled.ngettext(one, many, 2) == fresh.ngettext(one, many, 2)


def test_every_word_of_the_closed_vocabularies_has_its_text() -> None:
    """Verdicts, outcomes, error classes, phases and flags, one by one."""
    from typing import get_args

    assert set(words.VERDICTS) == set(words.MARKS) == set(get_args(outcome.Verdict))
    assert set(words.OUTCOMES) == set(get_args(outcome.Outcome))
    assert set(words.STATES) == set(get_args(outcome.RunState))
    assert set(words.ERROR_CLASSES) == set(get_args(outcome.ErrorClass))
    assert set(words.PHASES) == set(get_args(outcome.Phase))
    assert set(words.FLAGS) == set(get_args(outcome.QualityFlag))


def test_the_language_is_chosen_by_word_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """--lang wins over OTS_LANG, that over the locale; what is not there falls back to English."""
    before = i18n.language()
    try:
        for name in ("OTS_LANG", "LC_ALL", "LANG"):
            monkeypatch.delenv(name, raising=False)
        assert i18n.choose() == "en"
        monkeypatch.setenv("LANG", "zh_CN.UTF-8")
        assert i18n.choose() == "zh"
        monkeypatch.setenv("OTS_LANG", "en")
        assert i18n.choose() == "en"
        assert i18n.choose("zh") == "zh"
        assert i18n._("measured") == "已测"
        assert i18n.choose("fr") == "en"
    finally:
        i18n.choose(before)
