"""A pytest plugin: the marker `server` is on every test that may start a cloud server or use its database.

Those are the tests of each file whose imports lead, over our own helpers, to `tests.server_database` or to
the server's database itself.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_IMPORT = re.compile(r"^\s*(?:from|import) (tests(?:\.\w+)+|ots\.server\.database)", re.M)
_GOALS = {"tests.server_database", "ots.server.database"}
_FIXTURES = {"cloud", "own_cloud"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` chooses by markers."""
    for item in items:
        if _GOALS & _behind(item.path) or _FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@functools.cache
def _behind(path: Path) -> frozenset[str]:
    """What a file imports of these names, itself or by another of ours."""
    found: set[str] = set()
    unread = [path]
    while unread:
        for name in _IMPORT.findall(unread.pop().read_text("utf-8")):
            file = _ROOT.joinpath(*name.split(".")).with_suffix(".py")
            if name not in found and file.exists():
                unread.append(file)
            found.add(name)
    return frozenset(found)
