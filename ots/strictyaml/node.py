"""A YAML document as a tree that remembers where everything stood."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as text. Only a `plain` one (not quoted) has a type other than text.

    `tag` is the short name of a core tag that was written (`int`, `str` …), else None.
    """

    text: str
    plain: bool
    mark: Mark
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys are text, in the order written, each once."""

    pairs: tuple[tuple[Scalar, Node], ...]
    mark: Mark

    def get(self, key: str) -> Node | None:
        return next((value for name, value in self.pairs if name.text == key), None)

    def key(self, key: str) -> Scalar | None:
        return next((name for name, _ in self.pairs if name.text == key), None)


Node = Scalar | Sequence | Mapping


def locate(node: Node, path: Items[str | int], *, key: bool = False) -> Mark:
    """The mark of the node at `path`, or of its key; of the last part that exists if it leads nowhere."""
    mark = node.mark
    for part in path:
        child: Node | None = None
        if isinstance(node, Mapping) and isinstance(part, str):
            child, name = node.get(part), node.key(part)
            if name is not None and child is not None:
                mark = name.mark if key else child.mark
        elif isinstance(node, Sequence) and isinstance(part, int) and 0 <= part < len(node.items):
            child = node.items[part]
            mark = child.mark
        if child is None:
            break
        node = child
    return mark
