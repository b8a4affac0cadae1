"""What the answers of several cycles say of a path: where it ends, loops, changes, jumps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

Path = Mapping[int, str]
"""The address that answered at each hop; a hop that did not answer is not in it."""

_FEWEST_TURNS = 3


def differ(one: Path, other: Path) -> bool:
    """Whether two paths can't be the same: another address answers somewhere. Silence contradicts nothing."""
    return any(other[hop] != address for hop, address in one.items() if hop in other)


def changes(paths: Sequence[Path]) -> int:
    """How often the path changed from one cycle to the next. A hop that is silent meanwhile is compared with
    what was last heard of it."""
    known: dict[int, str] = {}
    count = 0
    for path in paths:
        if differ(known, path):
            count += 1
            known = {}
        known.update(path)
    return count


def distinct(paths: Sequence[Path]) -> int:
    """How many different paths there were, the fewest that explain all cycles in the order they came."""
    found: list[dict[int, str]] = []
    for path in paths:
        same = next((known for known in found if not differ(known, path)), None)
        if same is None:
            found.append(dict(path))
        else:
            same.update(path)
    return len([path for path in found if path])


def loop(path: Path) -> tuple[int, list[str]] | None:
    """The hop where a routing loop begins and the addresses that take turns in it; None without one.

    An address is in a loop if it answers at three hops with others between them. The same address at
    neighbouring hops is a router that does not count down, or one that refuses.
    """
    places: dict[str, list[int]] = {}
    for hop in sorted(path):
        places.setdefault(path[hop], []).append(hop)
    for hops in places.values():
        if len(hops) >= _FEWEST_TURNS and all(after - before > 1 for before, after in pairwise(hops)):
            turn = [path[hop] for hop in range(hops[0], hops[1]) if hop in path]
            return hops[0], list(dict.fromkeys(turn))
    return None


def jump(medians: Mapping[int, float]) -> tuple[int, float] | None:
    """The hop with the largest increment of the median round trip that persists to the end, and that
    increment in seconds; None with fewer than two hops.

    A router that is slow to answer for itself is no jump: what counts at each hop is the smallest median
    from there on.
    """
    if len(medians) < 2:
        return None
    hops = sorted(medians)
    lasting: dict[int, float] = {}
    smallest = float("inf")
    for hop in reversed(hops):
        smallest = min(smallest, medians[hop])
        lasting[hop] = smallest
    before = 0.0
    found = (hops[0], 0.0)
    for hop in hops:
        increment = lasting[hop] - before
        before = lasting[hop]
        if increment > found[1]:
            found = (hop, increment)
    return found


def persisting(losses: Mapping[int, float]) -> dict[int, float]:
    """Of each hop's loss ratio the part that persists to the end: no later hop lost less."""
    kept: dict[int, float] = {}
    least = 1.0
    for hop in sorted(losses, reverse=True):
        least = min(least, losses[hop])
        kept[hop] = least
    return kept
