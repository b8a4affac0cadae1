"""Who is turned away is given a turn: one behind the other, at the rate of the admission."""

from __future__ import annotations

import itertools

import pytest

from ots.server.api.problems import Refused
from ots.server.control.gateway import Admission


def test_turns_lie_one_behind_the_other_and_not_too_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("ots.server.control.gateway.time.monotonic", lambda: now)
    admission = Admission(rate=50.0, first_rate=10.0, ramp=30.0)
    for _ in range(10):
        admission.admit()
    waits = []
    for _ in range(1_000):
        with pytest.raises(Refused) as refused:
            admission.admit()
        assert refused.value.code == "overloaded" and refused.value.retry_after is not None
        waits.append(refused.value.retry_after)
    gaps = [b - a for a, b in itertools.pairwise(waits)]
    assert waits[0] == pytest.approx(5.0)
    assert gaps[0] == pytest.approx(0.1) and gaps[-1] == pytest.approx(0.02), "the first seconds are slower"
    for _ in range(20_000):
        with pytest.raises(Refused) as refused:
            admission.admit()
    assert refused.value.retry_after == pytest.approx(300.0)


def test_a_second_later_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("ots.server.control.gateway.time.monotonic", lambda: now)
    admission = Admission(rate=50.0, first_rate=10.0, ramp=30.0)
    for _ in range(10):
        admission.admit()
    now = 1001.0
    for _ in range(10):
        admission.admit()
    with pytest.raises(Refused):
        admission.admit()
    now = 1031.0
    for _ in range(50):
        admission.admit()
    with pytest.raises(Refused):
        admission.admit()
