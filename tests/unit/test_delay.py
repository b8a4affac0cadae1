"""Delay variation, reordering and loss bursts against vectors worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.stats import delay

VECTOR = [0.020, 0.022, 0.021, 0.030, 0.020]
rtts = st.lists(st.none() | st.floats(min_value=0, max_value=60, allow_nan=False), max_size=50)


def test_the_golden_vector() -> None:
    """20, 22, 21, 30, 20 ms: jitter 5.5 ms, RFC 3550 filter 1.310 ms, PDV at most 10 ms."""
    differences = delay.ipdv(VECTOR)
    assert differences == pytest.approx([0.002, -0.001, 0.009, -0.010])
    assert delay.jitter(differences) == pytest.approx(0.0055)
    assert delay.jitter_rfc3550(differences) == pytest.approx(0.001310, abs=5e-7)
    assert max(delay.pdv(VECTOR)) == pytest.approx(0.010)


def test_a_loss_breaks_the_pair() -> None:
    """Neighbours of a lost packet make no difference: they were not sent one after the other."""
    assert delay.ipdv([0.01, None, 0.03, 0.04]) == pytest.approx([0.01])


def test_nothing_gives_nothing() -> None:
    """Without a pair there is no jitter, which is not zero jitter."""
    assert delay.ipdv([0.01]) == []
    assert delay.jitter([]) is None
    assert delay.jitter_rfc3550([]) is None
    assert delay.pdv([None, None]) == []


def test_loss_bursts_are_the_lengths_of_runs() -> None:
    """Each run of losses counts once, also at the edges."""
    assert delay.loss_bursts([None, 1.0, None, None, 1.0, None]) == [1, 2, 1]
    assert delay.loss_bursts([1.0, 1.0]) == []


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([0.01, 0.01, 0.01], 0),
        ([0.25, 0.01, 0.01], 1),
        ([0.35, 0.25, 0.01], 2),
        ([0.25, None, 0.01], 1),
        ([0.15, 0.01, 0.15, 0.01], 2),
        ([None, None], 0),
    ],
)
def test_reordering_follows_from_send_time_and_delay(replies: list[float | None], expected: int) -> None:
    """A reply is reordered if one to a later request came first (RFC 4737)."""
    assert delay.reordered([0.1 * place for place in range(len(replies))], replies) == expected


@given(rtts)
def test_variation_is_consistent(values: list[float | None]) -> None:
    """PDV is never negative and starts at 0; bursts add up to the losses; jitter bounds hold."""
    spread = delay.pdv(values)
    assert not spread or min(spread) == 0
    assert sum(delay.loss_bursts(values)) == values.count(None)
    differences = delay.ipdv(values)
    smoothed = delay.jitter_rfc3550(differences)
    if smoothed is not None:
        assert 0 <= smoothed <= max(map(abs, differences))
