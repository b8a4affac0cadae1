"""From text to nodes over libyaml's events, with every bound checked before anything is built.

libyaml's own composer recurses and dies on 200 kB of `[`; its event stream doesn't. Size, depth, number of
aliases and the size of the tree once they are followed are all capped here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from ots.strictyaml.node import Mapping, Mark, Node, Scalar, Sequence
from ots.strictyaml.problem import Problem, YamlError
from ots.strictyaml.syntax import decode, explain

MAX_DEPTH = 24
MAX_ALIASES = 100
MAX_NODES = 20_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LIBYAML_DEPTH = "exceeded maximum nesting depth"
_CORE_TAGS = frozenset({"str", "int", "float", "bool", "null", "map", "seq"})
_CORE_PREFIX = "tag:yaml.org,2002:"


def compose(text: str | bytes, source: str = "") -> Node:
    """The one document in the text, or YamlError with every problem found."""
    decoded = decode(text, source)
    try:
        return _Composer(source, _LOADER).document(decoded)
    except _DeeperThanLibyaml:
        return _Composer(source, yaml.SafeLoader).document(decoded)


class _DeeperThanLibyaml(Exception):
    """libyaml reads ahead and from 0.2.6 gives up at 1,000 levels, before it hands out the first of them.

    The parser in Python hands them out, so that our own bound says where it was crossed.
    """


@dataclass(frozen=True, slots=True)
class _Part:
    """A finished node, its size with all aliases followed, and how many collections deep it goes."""

    node: Node
    nodes: int = 1
    depth: int = 0


@dataclass
class _Open:
    """A collection whose end has not come yet; a mapping's `key` waits for its value."""

    mark: Mark
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)
    seen: dict[str, Mark] = field(default_factory=dict)
    key: Scalar | None = None
    nodes: int = 1
    depth: int = 1


class _Composer:
    def __init__(self, source: str, loader: Any) -> None:
        self.source = source
        self.loader = loader
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Part] = {}
        self.aliases = 0
        self.nodes = 0
        self.open: list[_Open] = []
        self.root: Node | None = None

    def document(self, text: str) -> Node:
        documents = 0
        for event in self._events(text):
            mark = _mark(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(mark, "a second document starts here: one file holds one document")
                if event.version not in (None, (1, 2)):
                    self._stop(mark, "only YAML 1.2 is read: take the %YAML line out")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event, mark)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        if self.root is None:
            self._stop(Mark(1, 1), "the file is empty")
        if self.problems:
            raise YamlError(self.problems)
        return self.root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=self.loader)
        except yaml.MarkedYAMLError as error:
            if error.problem == _LIBYAML_DEPTH:
                raise _DeeperThanLibyaml from None
            unclosed = error.problem == "found unexpected end of stream"
            mark = _mark((unclosed and error.context_mark) or error.problem_mark or error.context_mark)
            self._stop(mark, explain(error, text, mark))
        except yaml.YAMLError as error:
            self._stop(Mark(1, 1), f"not YAML: {' '.join(str(error).split())}")

    def _node(self, event: yaml.NodeEvent, mark: Mark) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor or "", mark)
            return
        tag = self._tag(event, mark)
        if isinstance(event, yaml.ScalarEvent):
            plain = bool(event.implicit[0]) or tag not in (None, "str")
            part = _Part(Scalar(event.value, plain and tag != "str", mark, tag))
            if event.anchor is not None:
                self.anchors[event.anchor] = part
            self._count(1, mark)
            self._attach(part)
            return
        if len(self.open) >= MAX_DEPTH:
            self._stop(mark, f"nested deeper than {MAX_DEPTH} levels")
        self._count(1, mark)
        self.open.append(_Open(mark, event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def _tag(self, event: yaml.NodeEvent, mark: Mark) -> str | None:
        """The short name of a core tag; any other tag is a problem."""
        tag: str | None = getattr(event, "tag", None)
        if tag is None:
            return None
        if tag == "!":
            return "str" if isinstance(event, yaml.ScalarEvent) else None
        short = tag.removeprefix(_CORE_PREFIX)
        fits = (
            short in ("map", "seq")
            if not isinstance(event, yaml.ScalarEvent)
            else short not in ("map", "seq")
        )
        if short not in _CORE_TAGS or not tag.startswith(_CORE_PREFIX) or not fits:
            shown = "!!" + short if tag.startswith(_CORE_PREFIX) else tag
            self._note(mark, f"the tag {shown[:40]} is not allowed: take it out, or quote the text")
            return None
        return short if isinstance(event, yaml.ScalarEvent) else None

    def _alias(self, anchor: str, mark: Mark) -> None:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._stop(mark, f"more than {MAX_ALIASES} aliases")
        if anchor not in self.anchors:
            self._stop(mark, f"no anchor &{anchor} before this *{anchor}: quote a text that starts with *")
        part = self.anchors[anchor]
        if len(self.open) + part.depth > MAX_DEPTH:
            self._stop(mark, f"nested deeper than {MAX_DEPTH} levels through the alias *{anchor}")
        self._count(part.nodes, mark)
        self._attach(part)

    def _count(self, nodes: int, mark: Mark) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._stop(mark, f"more than {MAX_NODES} values, aliases followed")

    def _close(self) -> None:
        done = self.open.pop()
        node: Node
        if done.is_mapping:
            node = Mapping(tuple(done.pairs), done.mark)
        else:
            node = Sequence(tuple(done.items), done.mark)
        part = _Part(node, done.nodes, done.depth)
        if done.anchor is not None:
            self.anchors[done.anchor] = part
        self._attach(part)

    def _attach(self, part: _Part) -> None:
        if not self.open:
            self.root = part.node
            return
        parent = self.open[-1]
        parent.nodes += part.nodes
        parent.depth = max(parent.depth, part.depth + 1)
        if not parent.is_mapping:
            parent.items.append(part.node)
        elif parent.key is None:
            parent.key = self._key(part.node)
        else:
            self._pair(parent, parent.key, part.node)
            parent.key = None

    def _key(self, node: Node) -> Scalar:
        if not isinstance(node, Scalar):
            self._stop(
                node.mark, "a key must be a word, not a list or a mapping (texts with braces need quotes)"
            )
        return node

    def _pair(self, parent: _Open, key: Scalar, value: Node) -> None:
        if key.text in parent.seen:
            first = parent.seen[key.text]
            self._note(key.mark, f"the key {key.text!r} stands twice: first in line {first.line}")
            return
        if key.text == "<<" and key.plain:
            self._note(key.mark, "merge keys (<<) are not supported: write the keys out")
            return
        parent.seen[key.text] = key.mark
        parent.pairs.append((key, value))

    def _note(self, mark: Mark, message: str) -> None:
        self.problems.append(Problem(self.source, mark.line, mark.column, message))

    def _stop(self, mark: Mark, message: str) -> NoReturn:
        self._note(mark, message)
        raise YamlError(self.problems)


def _mark(mark: object) -> Mark:
    """Our mark, counted from 1, of libyaml's, which may be missing and has a type for each loader."""
    return Mark(getattr(mark, "line", 0) + 1, getattr(mark, "column", 0) + 1)
