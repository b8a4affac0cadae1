"""The condition of `when:`: whether an earlier step's verdict or outcome is as named.

    steps.gateway.verdict == 'pass' and not steps.mail.outcome in ['failure', 'invalid']

A closed grammar, read by recursive descent into a small tree; nothing is ever evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from ots.model.outcome import Outcome, Verdict
from ots.strictyaml import suggest

Lookup = Callable[[str], tuple[str, str] | None]
"""From a step's id to its (verdict, outcome); None if it did not run."""

_MAX_TEXT = 500
_MAX_DEPTH = 20
_TOKEN = re.compile(
    r"""\s*(?:(?P<reference>steps\.[A-Za-z0-9_-]+\.[A-Za-z_]+)
        |(?P<word>'[^']*'|"[^"]*")
        |(?P<sign>==|!=|[()\[\],])
        |(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)
        |(?P<other>\S))""",
    re.VERBOSE,
)
_Attribute = Literal["verdict", "outcome"]
_ATTRIBUTES: dict[str, _Attribute] = {"verdict": "verdict", "outcome": "outcome"}
_WORDS: dict[str, tuple[str, ...]] = {"verdict": get_args(Verdict), "outcome": get_args(Outcome)}


class ConditionError(ValueError):
    """The text is no condition; the message says what would be."""


@dataclass(frozen=True, slots=True)
class _Test:
    step: str
    attribute: _Attribute
    words: tuple[str, ...]
    negated: bool

    def holds(self, lookup: Lookup) -> bool:
        found = lookup(self.step)
        value = None if found is None else found[0 if self.attribute == "verdict" else 1]
        return (value in self.words) is not self.negated


@dataclass(frozen=True, slots=True)
class _Not:
    inner: _Part

    def holds(self, lookup: Lookup) -> bool:
        return not self.inner.holds(lookup)


@dataclass(frozen=True, slots=True)
class _Join:
    word: Literal["and", "or"]
    parts: tuple[_Part, ...]

    def holds(self, lookup: Lookup) -> bool:
        results = (part.holds(lookup) for part in self.parts)
        return all(results) if self.word == "and" else any(results)


_Part = _Test | _Not | _Join


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition. A step that did not run has neither verdict nor outcome: only `!=` holds for it."""

    text: str
    root: _Part

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises ConditionError."""
        if len(text) > _MAX_TEXT:
            raise ConditionError(f"a condition has at most {_MAX_TEXT} characters")
        return cls(text, _Parser(text).whole())

    def references(self) -> set[str]:
        """The ids of the steps that it asks about."""
        return _references(self.root)

    def evaluate(self, lookup: Lookup) -> bool:
        return self.root.holds(lookup)


def _references(part: _Part) -> set[str]:
    if isinstance(part, _Test):
        return {part.step}
    if isinstance(part, _Not):
        return _references(part.inner)
    return set().union(*map(_references, part.parts))


class _Parser:
    """or < and < not < test; each method reads one level."""

    def __init__(self, text: str) -> None:
        self.tokens = [
            (match.lastgroup or "", match[match.lastgroup or 0]) for match in _TOKEN.finditer(text)
        ]
        self.position = 0
        self.depth = 0

    def whole(self) -> _Part:
        part = self.either()
        if self.position < len(self.tokens):
            raise ConditionError(f"{self.shown()} can't stand here: join tests with 'and' or 'or'")
        return part

    def either(self) -> _Part:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ConditionError(f"a condition nests at most {_MAX_DEPTH} levels")
        part = self._joined("or", lambda: self._joined("and", self.negation))
        self.depth -= 1
        return part

    def _joined(self, word: Literal["and", "or"], read: Callable[[], _Part]) -> _Part:
        parts = [read()]
        while self.take(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else _Join(word, tuple(parts))

    def negation(self) -> _Part:
        negations = 0
        while self.take("not"):
            negations += 1
        part = self.test()
        return _Not(part) if negations % 2 else part

    def test(self) -> _Part:
        if self.take("("):
            part = self.either()
            self.expect(")")
            return part
        group, text = self.peek()
        if group != "reference":
            raise ConditionError(f"expected steps.ID.verdict or steps.ID.outcome, got {self.shown()}")
        self.position += 1
        _, step, name = text.split(".")
        attribute = _ATTRIBUTES.get(name)
        if attribute is None:
            raise ConditionError(f"a step has no {name!r}{suggest(name, _ATTRIBUTES)}")
        if self.take("in"):
            return _Test(step, attribute, self.words(attribute), False)
        if self.peek()[1] == "not" and self.position + 1 < len(self.tokens):
            self.position += 1
            self.expect("in")
            return _Test(step, attribute, self.words(attribute), True)
        if self.take("=="):
            return _Test(step, attribute, (self.word(attribute),), False)
        if self.take("!="):
            return _Test(step, attribute, (self.word(attribute),), True)
        raise ConditionError(f"expected ==, != or in after {text}, got {self.shown()}")

    def words(self, attribute: str) -> tuple[str, ...]:
        self.expect("[")
        words = [self.word(attribute)]
        while self.take(","):
            words.append(self.word(attribute))
        self.expect("]")
        return tuple(words)

    def word(self, attribute: str) -> str:
        group, text = self.peek()
        if group != "word":
            quoted = f"'{text}'" if group == "name" else "'pass'"
            raise ConditionError(f"expected a word in quotes such as {quoted}, got {self.shown()}")
        self.position += 1
        word = text[1:-1]
        if word not in _WORDS[attribute]:
            raise ConditionError(f"{word!r} is no {attribute}{suggest(word, _WORDS[attribute])}")
        return word

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.position] if self.position < len(self.tokens) else ("end", "")

    def take(self, text: str) -> bool:
        group, found = self.peek()
        if found == text and group in ("sign", "name"):
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise ConditionError(f"expected {text!r}, got {self.shown()}")

    def shown(self) -> str:
        group, text = self.peek()
        return "the end" if group == "end" else repr(text)
