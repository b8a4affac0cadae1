"""Two documents place by place: entries of lists are matched by what names them."""

from __future__ import annotations

from typing import Any

import pytest

from ots.server.reports.structure import edits


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.5}, [("/a", "changed")]),
        ({"a": True}, {"a": 1}, [("/a", "changed")]),
        ({"a/b~": 1}, {}, [("/a~1b~0", "removed")]),
        ({}, {"a": None}, [("/a", "added")]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, [("/a/1", "changed"), ("/a/2", "added")]),
        ([{"key": "x"}, {"key": "y"}], [{"key": "y"}], [("/0", "removed")]),
        ([{"key": "x", "v": 1}, {"key": "y", "v": 1}], [{"key": "y", "v": 2}, {"key": "x", "v": 1}])
        + ([("/0/v", "changed")],),
        ([{"key": "x"}, {"key": "x"}], [{"key": "x"}, {"key": "z"}], [("/1/key", "changed")]),
        ({"a": {}}, {"a": []}, [("/a", "changed")]),
    ],
)
def test_edits(before: Any, after: Any, found: list[tuple[str, str]]) -> None:
    assert [(edit.path, edit.change) for edit in edits(before, after)] == found


def test_what_was_removed_is_named_where_it_was() -> None:
    before = [{"key": "x", "v": {}}, {"key": "y", "v": {"w": 1}}]
    (gone, inner) = edits(before, [{"key": "y", "v": {}}])
    assert (gone.path, inner.path, inner.before) == ("/0", "/1/v/w", 1)
