"""The settings' interface: the default of every step that names none and leaves this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ots.config import settings
from ots.registry import kinds
from ots.session.prepare import prepare_probe


@pytest.fixture(autouse=True)
def stated_interface(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings that name wan7."""
    monkeypatch.setenv("OTS_INTERFACE", "wan7")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("target", "params", "expected"),
    [
        ("192.0.2.1:80", {}, "wan7"),
        ("www.example.net:80", {}, "wan7"),
        ("192.0.2.1:80", {"interface": "lan0"}, "lan0"),
        ("192.0.2.1:80", {"source": "192.0.2.9"}, None),
        ("127.0.0.1:80", {}, None),
        ("[::1]:80", {}, None),
        ("localhost:80", {}, None),
    ],
)
def test_default_interface(target: str, params: dict[str, str], expected: str | None) -> None:
    """It fills the gap, gives way to what the step says, and leaves the loopback alone."""
    planned = prepare_probe(kinds()["tcp_connect"], [target], params)
    assert [row.step.params.model_dump()["interface"] for row in planned.steps] == [expected]
