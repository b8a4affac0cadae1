"""Conditions: the small grammar of `when:`, and that nothing else is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.schema.condition import Condition, ConditionError

_RAN = {"a": ("pass", "success"), "b": ("fail", "failure"), "link-1": ("measured", "success")}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("steps.a.verdict == 'pass'", True),
        ('steps.a.verdict == "pass"', True),
        ("steps.a.verdict != 'pass'", False),
        ("steps.b.outcome == 'failure'", True),
        ("steps.b.verdict in ['fail', 'error']", True),
        ("steps.b.verdict not in ['fail', 'error']", False),
        ("steps.link-1.verdict == 'measured'", True),
        ("not steps.b.verdict == 'pass'", True),
        ("not not steps.b.verdict == 'pass'", False),
        ("steps.a.verdict == 'pass' and steps.b.verdict == 'pass'", False),
        ("steps.a.verdict == 'pass' or steps.b.verdict == 'pass'", True),
        ("steps.b.verdict == 'pass' and steps.b.verdict == 'pass' or steps.a.verdict == 'pass'", True),
        ("steps.b.verdict == 'pass' and (steps.b.verdict == 'pass' or steps.a.verdict == 'pass')", False),
        ("not (steps.a.verdict == 'pass' and steps.b.verdict == 'pass')", True),
        ("steps.never.verdict == 'pass'", False),
        ("steps.never.verdict != 'pass'", True),
    ],
)
def test_evaluate(text: str, answer: bool) -> None:
    """not binds tighter than and, and tighter than or; a step that did not run has no verdict."""
    assert Condition.parse(text).evaluate(_RAN.get) is answer


def test_references() -> None:
    """A condition knows which steps it asks about."""
    text = "steps.a.verdict == 'pass' and not (steps.b.outcome in ['failure'] or steps.c.verdict != 'fail')"
    assert Condition.parse(text).references() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected steps.ID.verdict or steps.ID.outcome, got the end"),
        ("true", "expected steps.ID.verdict or steps.ID.outcome, got 'true'"),
        ("steps.a.verdict", "expected ==, != or in after steps.a.verdict, got the end"),
        ("steps.a.verdict = 'pass'", "expected ==, != or in after steps.a.verdict, got '='"),
        ("steps.a.verdict == pass", "expected a word in quotes such as 'pass', got 'pass'"),
        ("steps.a.verdict == 'passed'", "'passed' is no verdict: did you mean 'pass'?"),
        ("steps.a.outcome == 'succes'", "'succes' is no outcome: did you mean 'success'?"),
        ("steps.a.verdit == 'pass'", "a step has no 'verdit': did you mean 'verdict'?"),
        ("steps.a.verdict in 'pass'", "expected '[', got \"'pass'\""),
        ("steps.a.verdict in ['pass'", "expected ']', got the end"),
        ("(steps.a.verdict == 'pass'", "expected ')', got the end"),
        (
            "steps.a.verdict == 'pass' steps.b.verdict == 'pass'",
            "'steps.b.verdict' can't stand here: join tests with 'and' or 'or'",
        ),
        ("__import__('os').system('id')", "expected steps.ID.verdict or steps.ID.outcome, got '__import__'"),
        ("(" * 400, "a condition nests at most 20 levels"),
        ("not " * 400, "a condition has at most 500 characters"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    """What is outside the grammar is refused with what would be right."""
    with pytest.raises(ConditionError) as caught:
        Condition.parse(text)
    assert str(caught.value) == message


_PIECES = st.sampled_from(
    [
        "steps.a.verdict",
        "steps.b.outcome",
        "==",
        "!=",
        "in",
        "not",
        "and",
        "or",
        "(",
        ")",
        "[",
        "]",
        ",",
        "'pass'",
    ]
)


@given(text=st.one_of(st.lists(_PIECES, max_size=12).map(" ".join), st.text(max_size=40)))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text does anything but parse or give a message."""
    try:
        condition = Condition.parse(text)
    except ConditionError as error:
        assert str(error)
    else:
        assert condition.evaluate(_RAN.get) in (True, False)
