"""Named target lists: `core: [192.0.2.1, "@edge"]` in a file, `@core` where a target may stand.

The text of a file is read and checked here; which files there are is the caller's business. Whether a member
fits a probe is known only where a probe measures it, so that is checked at each use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from ots.strictyaml import Mapping as MappingNode
from ots.strictyaml import Mark, Node, Problem, Scalar, Sequence, YamlError, compose, suggest
from ots.strictyaml.scalar import value_of
from ots.strictyaml.syntax import decode

SIGN = "@"
MAX_DEPTH = 16
"""Lists that may name one another in a row."""

NAME = re.compile(r"[^\W_][\w.-]{0,63}")
"""Letters of any alphabet, digits, `_`, `.` and `-`."""


class ListError(ValueError):
    """A target list can't be used; the message says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a list as it was written: a target, or `@` and the name of another list."""

    text: str
    source: str
    mark: Mark

    @property
    def place(self) -> str:
        """File, line and column; only the file for what is not written yet."""
        return f"{self.source}:{self.mark.line}:{self.mark.column}" if self.mark.line else self.source


@dataclass(frozen=True, slots=True)
class TargetList:
    """A list as its file has it; `mark` is where its name stands."""

    name: str
    source: str
    mark: Mark
    members: tuple[Member, ...]


Lists = Mapping[str, TargetList]
NO_LISTS: Lists = MappingProxyType({})


def read_lists(text: str | bytes, source: str) -> dict[str, TargetList]:
    """The lists of one file, or YamlError with every problem; a file without content has none."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if all(not line.strip() or line.lstrip().startswith(b"#") for line in data.splitlines()):
        return {}
    tree = compose(text, source)
    if not isinstance(tree, MappingNode):
        message = "target lists are names and targets, such as core: [192.0.2.1, 192.0.2.2]"
        raise YamlError([Problem(source, tree.mark.line, tree.mark.column, message)])
    problems: list[Problem] = []
    lists = {}
    for key, value in tree.pairs:
        if (fault := name_fault(key.text)) is not None:
            problems.append(_problem(source, key.mark, fault))
        members = tuple(_members(key.text, value, source, problems))
        lists[key.text] = TargetList(key.text, source, key.mark, members)
    if problems:
        raise YamlError(problems)
    return lists


def read_lines(content: bytes, source: str, name: str) -> dict[str, TargetList]:
    """One list from a text with one target a line; `#` begins a comment. YamlError with every problem."""
    members: dict[str, Member] = {}
    problems: list[Problem] = []
    for number, line in enumerate(decode(content, source).splitlines(), 1):
        text = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not text:
            continue
        mark = Mark(number, line.index(text) + 1)
        fault = f"{text!r} stands twice in this list" if text in members else member_fault(text)
        if fault is not None:
            problems.append(_problem(source, mark, fault))
        members[text] = Member(text, source, mark)
    if not members:
        problems.append(Problem(source, 1, 1, "no target stands here: one a line is expected"))
    if problems:
        raise YamlError(problems)
    return {name: TargetList(name, source, Mark(1, 1), tuple(members.values()))}


def name_fault(name: str) -> str | None:
    """Why this can't be the name of a list, if it can't."""
    if NAME.fullmatch(name):
        return None
    return f"{name[:80]!r} is no name of a list: letters, digits, _ . and -, at most 64"


def member_fault(text: str) -> str | None:
    """What is wrong with a member whatever probe will measure it; a password is not repeated."""
    if not text or any(ord(char) < 33 or ord(char) == 127 or 0xD800 <= ord(char) <= 0xDFFF for char in text):
        return f"{text[:80]!r} is no target: it is empty, or has a space or a control character in it"
    if text.startswith(SIGN):
        return name_fault(text.removeprefix(SIGN))
    try:
        parts = urlsplit(text)
        secret, host = parts.password is not None, parts.hostname
    except ValueError:
        return None
    if secret:
        return f"a password stands in the URL of {host}: take it out, and give it where the list is used"
    return None


def members_of(name: str, lists: Lists) -> list[Member]:
    """The targets that a list stands for, lists in it opened, each target once; else ListError."""
    found: dict[str, Member] = {}
    for member in _opened(name, lists, (), set(), ""):
        found.setdefault(member.text, member)
    return list(found.values())


def with_inner(names: Iterable[str], lists: Lists) -> list[str]:
    """These lists and all that they name, each once; names that no list has are left out."""
    found: dict[str, None] = {}
    waiting = list(names)[::-1]
    while waiting:
        name = waiting.pop()
        if name in found or name not in lists:
            continue
        found[name] = None
        inner = [member.text for member in lists[name].members if member.text.startswith(SIGN)]
        waiting += [text.removeprefix(SIGN) for text in reversed(inner)]
    return list(found)


def with_texts(lists: Lists, changed: Mapping[str, Iterable[str]], source: str) -> dict[str, TargetList]:
    """The lists as they would be with these members; one without members is gone."""
    mark = Mark(0, 0)
    after = dict(lists)
    for name, texts in changed.items():
        members = tuple(Member(text, source, mark) for text in texts)
        after.pop(name, None)
        if members:
            after[name] = TargetList(name, source, mark, members)
    return after


def _opened(
    name: str, lists: Lists, path: tuple[str, ...], done: set[str], named_at: str
) -> Iterator[Member]:
    """Each list is opened once, however often it is named: a few lists can't make a million targets."""
    if name in path:
        circle = " → ".join(SIGN + step for step in (*path[path.index(name) :], name))
        raise ListError(f"the list {SIGN}{name} holds itself: {circle}")
    if name not in lists:
        hint = suggest(SIGN + name, [SIGN + known for known in lists])
        hint = hint or f": make it with ots targets add {name} TARGET"
        raise ListError(f"unknown target list {SIGN + name!r}{named_at}{hint}")
    if len(path) >= MAX_DEPTH:
        raise ListError(f"lists that name lists: more than {MAX_DEPTH} in a row from {SIGN}{path[0]}")
    for member in lists[name].members:
        if not member.text.startswith(SIGN):
            yield member
        elif (inner := member.text.removeprefix(SIGN)) not in done:
            yield from _opened(inner, lists, (*path, name), done, f" ({member.place})")
    done.add(name)


def _members(name: str, node: Node, source: str, problems: list[Problem]) -> Iterator[Member]:
    if isinstance(node, MappingNode):
        problems.append(_problem(source, node.mark, f"{name} needs a list of targets, not a mapping"))
        return
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        problems.append(_problem(source, node.mark, f"{name} needs at least one target"))
    seen: set[str] = set()
    for item in items:
        fault = _item_fault(item, seen)
        if fault is not None:
            problems.append(_problem(source, item.mark, fault))
        elif isinstance(item, Scalar):
            seen.add(item.text)
            yield Member(item.text, source, item.mark)


def _item_fault(item: Node, seen: set[str]) -> str | None:
    if not isinstance(item, Scalar):
        return "expected a target, not a list or a mapping"
    try:
        is_text = isinstance(value_of(item), str)
    except ValueError as error:
        return str(error)
    if not is_text:
        return f"expected a target, got {item.text or 'nothing'}: put it in quotes if it is one"
    if item.text in seen:
        return f"{item.text!r} stands twice in this list"
    return member_fault(item.text)


def _problem(source: str, mark: Mark, message: str) -> Problem:
    return Problem(source, mark.line, mark.column, message)
