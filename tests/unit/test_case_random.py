"""Random input: whatever the text, a case loads or gives a CaseError; nothing else ever comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ots.schema.case import Case
from ots.schema.load import CaseError, load_case
from tests.unit.case_kinds import KINDS
from tests.unit.test_case_load import WHOLE

pytestmark = pytest.mark.slow

_ODD = [
    *(
        "${host}",
        "${secret:x}",
        "$${x}",
        "${",
        "0",
        "-1",
        "1e999",
        ".inf",
        ".nan",
        "true",
        "no",
        "~",
        "12:30",
    ),
    *("<<:", "&a", "*a", "!!int", "!x", "|", ">", "-", "?"),
    *("5 ms", "< 5 ms", "10 MB", "1 %", "0 * * * *", "http://192.0.2.1/", "steps.a.verdict == 'pass'"),
    *("knock_rtt_seconds", "\udcff", "\x00", "\ufeff", "9" * 40),
]
_WORDS = st.sampled_from([*WHOLE.split(), *_ODD])
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), _WORDS, st.binary(max_size=4)
)
_KEYS = st.one_of(_WORDS, st.text(max_size=6))
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=25,
)
_STEPS = st.fixed_dictionaries(
    {"id": st.one_of(st.just("a"), _SCALARS), "probe": st.one_of(st.sampled_from(sorted(KINDS)), _SCALARS)},
    optional={
        "target": st.one_of(st.just("192.0.2.1"), _TREES),
        "params": st.one_of(
            st.dictionaries(st.sampled_from(["count", "interval", "user", "x"]), _TREES), _TREES
        ),
        "thresholds": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {"metric": st.sampled_from(["knock_rtt_seconds", "knock_state", "x"])},
                    optional={
                        "stat": _SCALARS,
                        "warn": st.one_of(_SCALARS, st.sampled_from(["< 5 ms", "in [1 ms]", "== a"])),
                        "fail": st.one_of(_SCALARS, st.sampled_from(["< 9 ms", "between 1 ms 2 ms"])),
                        "where": _TREES,
                        "min_samples": _SCALARS,
                        "confidence": _SCALARS,
                    },
                ),
                _TREES,
            ),
            max_size=3,
        ),
        "when": _SCALARS,
        "during": _SCALARS,
        "for_each": _TREES,
        "repeat": _SCALARS,
        "require_success": _SCALARS,
        "parallel": _TREES,
    },
)
_CASES = st.fixed_dictionaries(
    {"ots": st.one_of(st.just(1), _SCALARS), "id": st.one_of(st.just("c"), _SCALARS)},
    optional={
        "steps": st.one_of(st.lists(st.one_of(_STEPS, _TREES), max_size=4), _TREES),
        "vars": _TREES,
        "precheck": st.one_of(_STEPS, _TREES),
        "schedule": st.one_of(
            st.fixed_dictionaries({}, optional={"cron": _SCALARS, "zone": _SCALARS}), _TREES
        ),
        "title": _TREES,
        "tags": _TREES,
        "time_limit": _SCALARS,
    },
)


def _load(text: str | bytes) -> None:
    try:
        case = load_case(text, "random.yaml", KINDS, {"host": "192.0.2.1"})
    except CaseError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert problem.source == "random.yaml"
            assert min(problem.line, problem.column) >= 1
            str(problem).encode("utf-8", "backslashreplace")
        return
    assert isinstance(case, Case)
    assert case.steps


_many = settings(
    max_examples=700, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@_many
@given(text=st.one_of(st.text(), st.binary(), st.lists(_WORDS, max_size=30).map(" ".join)))
def test_raw_text(text: str | bytes) -> None:
    """Any characters and any bytes."""
    _load(text)


@_many
@given(data=st.data())
def test_a_good_case_with_mistakes(data: st.DataObject) -> None:
    """A right case with pieces cut out, doubled, or replaced by other words."""
    text = WHOLE
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 40)))
        piece = data.draw(st.one_of(_WORDS, st.text(max_size=5), st.just(text[start:stop] * 2), st.just("")))
        text = text[:start] + piece + text[stop:]
    _load(text)


def _dump(tree: Any) -> str:
    """The tree as YAML, with binary and odd text as Python's own dumper writes them."""
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)


@_many
@given(tree=st.one_of(_CASES, _TREES))
def test_structured_trees(tree: Any) -> None:
    """Documents that have a case's shape and wrong things in every place."""
    try:
        text = _dump(tree)
    except (yaml.YAMLError, UnicodeError):  # what can't be YAML is the test of raw text
        return
    _load(text)


@pytest.mark.parametrize(
    "piece", ["[", "{", "- ", "? ", "!", "&a ", "*a ", "\t", "'", '"', "a: ", "%", "|\n", "${", "0"]
)
def test_two_hundred_kilobytes_of_one_thing(piece: str) -> None:
    """200 kB of brackets, and of anything else that could overrun a parser."""
    _load(piece * (200_000 // len(piece)))
    _load("ots: 1\nid: c\nsteps: " + piece * (200_000 // len(piece)))


def test_a_folder_of_broken_cases_cut_at_every_line() -> None:
    """Cases that an editor has written only half load or complain."""
    for path in sorted((Path(__file__).parent / "broken_cases").glob("*.yaml")):
        lines = path.read_text("utf-8").splitlines(keepends=True)
        for end in range(len(lines)):
            _load("".join(lines[:end]))
