"""YAML that means what it says: bounded, typed by YAML 1.2, no duplicate keys, every position kept.

    tree = compose(text, "office.yaml")         # nodes with marks, or YamlError with every problem found
    tree = Variables({"server": "…"}).apply(tree, problems)
    data = resolve(tree, problems)              # plain dicts, lists and scalars
    locate(tree, ("steps", 0, "params"))        # the mark of any place in it

YAML's other side is left out on purpose: tags, merge keys, several documents, keys that are no text, and the
YAML 1.1 types that read `12:30` as 750 and `no` as False.
"""

from typing import Any

from ots.strictyaml.compose import compose
from ots.strictyaml.node import Mapping, Mark, Node, Scalar, Sequence, locate
from ots.strictyaml.problem import Problem, YamlError
from ots.strictyaml.scalar import resolve
from ots.strictyaml.variable import Variables, suggest

__all__ = [
    "Mapping",
    "Mark",
    "Node",
    "Problem",
    "Scalar",
    "Sequence",
    "Variables",
    "YamlError",
    "compose",
    "load_plain",
    "locate",
    "resolve",
    "suggest",
]


def load_plain(text: str | bytes, source: str = "") -> Any:
    """The document as dicts, lists and scalars, without variables; YamlError with every problem found."""
    problems: list[Problem] = []
    data = resolve(compose(text, source), problems, source)
    if problems:
        raise YamlError(problems)
    return data
