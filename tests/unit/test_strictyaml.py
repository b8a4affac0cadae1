"""strictyaml: types of YAML 1.2, positions, bounds, and variables."""

from __future__ import annotations

import pytest

from ots.strictyaml import Mapping, Problem, Variables, YamlError, compose, load_plain, locate, resolve


def _problems(text: str | bytes) -> list[str]:
    with pytest.raises(YamlError) as caught:
        load_plain(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"),
        ("no", "no"),
        ("on", "on"),
        ("1e3", 1000.0),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        (".5", 0.5),
        ("~", None),
        ("", None),
        ("True", True),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("= 1", "= 1"),
    ],
)
def test_core_types(text: str, value: object) -> None:
    """Plain scalars have the types of YAML 1.2 and no others."""
    found = load_plain(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_positions_count_characters() -> None:
    """Line and column count from 1, and characters, not bytes."""
    tree = compose("题: {名: 网络, b: [1, 2]}\n")
    assert (locate(tree, ("题", "b", 1)).line, locate(tree, ("题", "b", 1)).column) == (1, 19)
    assert locate(tree, ("题", "b"), key=True).column == 12
    assert locate(tree, ("题", "nothing", "there")).column == 4


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (b"a: \xff", ["f.yaml:1:4: byte 0xff is not UTF-8: save the file as UTF-8"]),
        ("a: \udcff", ["f.yaml:1:4: byte 0xff is not UTF-8: save the file as UTF-8"]),
        ("a: 1\nb: \x00", ["f.yaml:2:4: the character U+0000 is not allowed: take it out"]),
        ("a: \ud800", ["f.yaml:1:4: the character U+D800 is not allowed: take it out"]),
        ("", ["f.yaml:1:1: the file is empty"]),
        (" " * 300_000, ["f.yaml:1:1: 300000 bytes are too many: at most 262144 are read"]),
        ("[" * 200_000, ["f.yaml:1:25: nested deeper than 24 levels"]),
        ("{" * 200_000, ["f.yaml:1:25: nested deeper than 24 levels"]),
        ("- " * 100_000, ["f.yaml:1:49: nested deeper than 24 levels"]),
        ("? " * 100_000, ["f.yaml:1:49: nested deeper than 24 levels"]),
        ("[" + "[]," * 60_000 + "]", ["f.yaml:1:59999: more than 20000 values, aliases followed"]),
        ("[&a x, " + "*a, " * 200 + "]", ["f.yaml:1:408: more than 100 aliases"]),
        (
            "a: 1\na: 2\nb: {c: 1, c: 2}\n",
            [
                "f.yaml:2:1: the key 'a' stands twice: first in line 1",
                "f.yaml:3:11: the key 'c' stands twice: first in line 3",
            ],
        ),
    ],
)
def test_bounds(text: str | bytes, problems: list[str]) -> None:
    """What is too much or not text ends in a clean message at its place."""
    assert _problems(text) == problems


def test_alias_depth_is_counted() -> None:
    """Depth can't be had by way of aliases either."""
    levels = "\n".join(f"- &l{n} [*l{n - 1}]" for n in range(1, 40))
    assert _problems(f"- &l0 []\n{levels}\n") == [
        "f.yaml:24:9: nested deeper than 24 levels through the alias *l22"
    ]


def test_a_byte_order_mark_is_taken_off() -> None:
    """A file from an editor that writes a mark loads."""
    assert load_plain("\ufeffa: 1".encode()) == {"a": 1}


def _filled(text: str, **values: str) -> tuple[object, list[Problem]]:
    problems: list[Problem] = []
    tree = Variables(values).apply(compose(text), problems)
    return resolve(tree, problems), problems


def test_variables_come_before_types() -> None:
    """A plain scalar takes the type of the variable's text; a quoted one stays text."""
    data, problems = _filled("{a: '${n}', b: 1}\n", n="5")
    assert data == {"a": "5", "b": 1}
    assert _filled("a: ${n}\n", n="5")[0] == {"a": 5}
    assert _filled("a: ${n}\n", n="no")[0] == {"a": "no"}
    assert _filled("a: ${n}\n", n="")[0] == {"a": ""}
    assert _filled("a: x${n}y${n}\n", n="12:30")[0] == {"a": "x12:30y12:30"}
    assert problems == []


def test_a_value_cannot_change_the_structure() -> None:
    """What a variable holds stays inside its scalar and is not looked at again."""
    data, problems = _filled("a: ${n}\n", n="1\nb: [2, '${m}']")
    assert data == {"a": "1\nb: [2, '${m}']"}
    assert problems == []


def test_escape_and_secret_stay() -> None:
    """`$${` is a literal, and a secret's name is left for the run."""
    assert _filled("a: $${n}\nb: ${secret:mail}\n")[0] == {"a": "${n}", "b": "${secret:mail}"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${sever}", "unknown variable 'sever': did you mean 'server'?"),
        ("${}", "${} is no variable: a name has letters, digits and _"),
        ("${a b}", "${a b} is no variable: a name has letters, digits and _"),
        ("${server", "'${' without '}': write ${name}, or $${ for the characters themselves"),
    ],
)
def test_wrong_references(text: str, message: str) -> None:
    """A reference that leads nowhere says so at its place."""
    _, problems = _filled(f"a:\n  - '{text}'\n", server="x")
    assert problems == [Problem("", 2, 5, message)]


def test_an_exploding_value_is_cut() -> None:
    """Many references to a long value can't fill the memory."""
    _, problems = _filled("a: '" + "${n}" * 1000 + "'\n", n="x" * 1000)
    assert [problem.message for problem in problems] == ["longer than 65536 characters once variables are in"]


def test_the_tree_is_plain_data() -> None:
    """Nodes compare by what they hold and where it stood."""
    assert compose("a: 1") == compose("a: 1")
    assert isinstance(compose("a: 1"), Mapping)
