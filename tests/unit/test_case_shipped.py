"""The cases that ship: right, in both languages, and named as their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ots.registry import kinds
from ots.schema.load import load_case
from ots.schema.template import template

_CASES = sorted((Path(__file__).parents[2] / "cases").glob("*.yaml"))


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_shipped_case(path: Path) -> None:
    """A shipped case loads without a warning and without variables that must be given."""
    case = load_case(path.read_bytes(), path.name, kinds(), {})
    assert case.id == path.stem
    assert case.version is not None
    assert set(case.title) == {"en", "zh"}
    assert case.warnings == ()


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_kind_has_a_sample(kind: str) -> None:
    """There is a case of the kind's own name that uses it and judges something."""
    path = next(path for path in _CASES if path.stem == kind)
    case = load_case(path.read_bytes(), path.name, kinds(), {})
    assert {step.kind.kind for step in case.steps} >= {kind}
    assert any(step.thresholds for step in case.steps)


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_a_case_to_start_from_is_right_as_it_stands(kind: str) -> None:
    """What `ots cases new` writes for a kind loads, required parameters included."""
    load_case(template([kinds()[kind]], "start", "schema.json"), "start.yaml", kinds(), {})
