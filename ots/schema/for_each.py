"""`for_each:` one written step becomes one step for each combination of values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ots.strictyaml import Mapping, Node, Problem, Scalar, Sequence
from ots.strictyaml.variable import NAME

MAX_INSTANCES = 500


def expand(node: Node | None, problems: list[Problem], source: str) -> list[dict[str, str]]:
    """The variables of each instance, in the order written; one empty set where there is nothing to expand.

    Values are taken as text, as they were written. Problems go into `problems`; then the result is empty.
    """
    before = len(problems)
    if node is None:
        return [{}]
    problems += [Problem(source, *place, message) for place, message in _faults(node)]
    if len(problems) > before or not isinstance(node, Mapping):
        return []
    columns = [
        [(name.text, item.text) for item in values.items if isinstance(item, Scalar)]
        for name, values in node.pairs
        if isinstance(values, Sequence)
    ]
    return [dict(row) for row in itertools.product(*columns)]


def instance_name(variables: dict[str, str]) -> str:
    """`host=a.example`, `host=a.example,size=64 B`."""
    return ",".join(f"{name}={value}" for name, value in variables.items())


def _faults(node: Node) -> Iterator[tuple[tuple[int, int], str]]:
    if not isinstance(node, Mapping) or not node.pairs:
        yield _at(node), "expected variables and their values, such as {host: [a.example, b.example]}"
        return
    product = 1
    for name, values in node.pairs:
        if not NAME.fullmatch(name.text):
            yield _at(name), f"{name.text!r} is no variable name: letters, digits and _"
        if not isinstance(values, Sequence) or not values.items:
            yield _at(values), f"{name.text} needs a list of values"
            continue
        seen: set[str] = set()
        for item in values.items:
            if not isinstance(item, Scalar) or not item.text:
                yield _at(item), "expected a value: text or a number"
            elif item.text in seen:
                yield _at(item), f"the value {item.text!r} stands twice"
            else:
                seen.add(item.text)
        product *= len(values.items)
    if product > MAX_INSTANCES:
        yield _at(node), f"{product} steps are too many: at most {MAX_INSTANCES}"


def _at(node: Node) -> tuple[int, int]:
    return node.mark.line, node.mark.column
