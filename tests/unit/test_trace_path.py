"""What a trace concludes from its answers: changes, loops, jumps, persisting loss, and the path MTU."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.trace.mtu import Search
from ots.netio.trace.path import changes, distinct, jump, loop, persisting

A, B, C, D = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"


@pytest.mark.parametrize(
    ("paths", "changed", "different"),
    [
        ([], 0, 0),
        ([{}, {}], 0, 0),
        ([{1: A, 2: B}, {1: A, 2: B}], 0, 1),
        ([{1: A, 2: B}, {1: A}, {2: B}], 0, 1),
        ([{1: A, 2: B}, {1: A, 2: C}], 1, 2),
        ([{1: A, 2: B}, {1: A}, {1: A, 2: C}], 1, 2),
        ([{1: A, 2: B}, {1: A, 2: C}, {1: A, 2: B}], 2, 2),
        ([{1: A, 2: D}, {1: A, 2: B, 3: D}], 1, 2),
    ],
)
def test_changes_and_paths(paths: list[dict[int, str]], changed: int, different: int) -> None:
    """Another address at a hop is a change, silence is none; a path that returns is no new one."""
    assert (changes(paths), distinct(paths)) == (changed, different)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ({}, None),
        ({1: A, 2: B, 3: C}, None),
        ({1: A, 2: B, 3: C, 4: B, 5: C, 6: B, 7: C}, (2, [B, C])),
        ({1: A, 2: B, 4: B, 6: B, 7: D}, (2, [B])),
        ({1: A, 2: B, 3: C, 4: D, 5: B, 6: C, 7: D, 8: B}, (2, [B, C, D])),
        ({1: A, 2: B, 3: B, 4: C}, None),
        ({1: A, 5: B, 6: B, 7: B, 8: B}, None),
        ({1: A, 2: B, 3: C, 4: B}, None),
    ],
)
def test_loops(path: dict[int, str], expected: tuple[int, list[str]] | None) -> None:
    """Addresses that take turns are a loop; one that answers at neighbouring hops, or twice, is none."""
    assert loop(path) == expected


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ({}, None),
        ({1: 0.001}, None),
        ({1: 0.001, 2: 0.002, 3: 0.022}, (3, 0.020)),
        ({1: 0.001, 2: 0.150, 3: 0.012, 4: 0.013}, (2, 0.011)),
        ({1: 0.030, 2: 0.031}, (1, 0.030)),
        ({2: 0.010, 5: 0.050, 6: 0.049}, (5, 0.039)),
    ],
)
def test_the_jump_that_persists(medians: dict[int, float], expected: tuple[int, float] | None) -> None:
    """A router that is slow to answer for itself is no jump: what the hops behind it keep is."""
    found = jump(medians)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found[0] == expected[0]
        assert found[1] == pytest.approx(expected[1])


def test_loss_that_persists() -> None:
    """Of each hop's loss what every hop behind it has too."""
    assert persisting({1: 0.0, 2: 0.6, 3: 0.2, 4: 0.3, 5: 0.2}) == {1: 0.0, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2}


def searched(true: int, most: int, hint: int | None) -> tuple[int | None, int]:
    """What a search finds where packets up to `true` arrive and a router names `hint`, and its steps."""
    search = Search(68, most)
    steps = 0
    while (size := search.next()) is not None:
        steps += 1
        assert steps < 60
        if size <= true:
            search.arrived(size)
        else:
            search.failed(size, 0 if hint is None else hint)
    return search.found, steps


@given(st.integers(68, 9000), st.integers(68, 9000), st.one_of(st.none(), st.integers(0, 70_000)))
def test_the_search_finds_the_path_mtu_whatever_routers_say(true: int, most: int, hint: int | None) -> None:
    """The result is exact with a right hint, a wrong one and none."""
    assert searched(true, most, hint)[0] == min(true, most)


def test_a_right_hint_makes_it_short() -> None:
    """Three packets: the largest, the size that was named, and one byte more."""
    assert searched(1400, 1500, 1400) == (1400, 3)
    assert searched(1500, 1500, None) == (1500, 1)


def test_nothing_arrives() -> None:
    """Then there is no path MTU."""
    assert searched(0, 1500, None)[0] is None
