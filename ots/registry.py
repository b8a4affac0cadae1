"""Finds the probes: built-in ones by module name, third parties' by entry point.

A built-in probe is a public module of `ots.probes` whose name is its kind. A third-party probe is an entry
point of the group `ots.probes`. A broken one is listed with its reason and harms nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ots.probe import Probe

GROUP = "ots.probes"


class BrokenProbe(LookupError):
    """A registered probe cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a kind comes from: `built-in` or the distribution's name."""

    kind: str
    distribution: str
    entry_point: EntryPoint | None = None


class Kinds(Mapping[str, Probe]):
    """All kinds by name; a probe's module is imported when it is asked for."""

    def __init__(self, origins: Mapping[str, Origin], duplicates: Mapping[str, str]) -> None:
        self._origins = origins
        self._duplicates = duplicates
        self._probes: dict[str, Probe] = {}

    def __getitem__(self, kind: str) -> Probe:
        if kind not in self._probes:
            self._probes[kind] = _load(self._origins[kind])
        return self._probes[kind]

    def __contains__(self, kind: object) -> bool:
        # Without loading it: Mapping would ask __getitem__, and a broken probe is registered all the same.
        return kind in self._origins

    def __iter__(self) -> Iterator[str]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)

    def origin(self, kind: str) -> Origin:
        return self._origins[kind]

    def usable(self) -> list[Probe]:
        """Every probe that loads."""
        broken = self.broken()
        return [self[kind] for kind in self if kind not in broken]

    def broken(self) -> dict[str, str]:
        """Registered kinds that can't be used, with the reason."""
        reasons = dict(self._duplicates)
        for kind in self:
            try:
                self[kind]
            except BrokenProbe as error:
                reasons[kind] = str(error)
        return reasons


@cache
def kinds() -> Kinds:
    """The kinds that this installation knows. A kind registered twice keeps the built-in, or the first."""
    import ots.probes

    origins = {
        module.name: Origin(module.name, "built-in")
        for module in pkgutil.iter_modules(ots.probes.__path__)
        if not module.name.startswith("_")
    }
    duplicates: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        distribution = point.dist.name if point.dist is not None else point.value
        if point.name in origins:
            other = origins[point.name].distribution
            duplicates[f"{point.name} ({distribution})"] = (
                f"kind {point.name!r} is registered twice: by {other} and by {distribution}; {other} is used"
            )
        else:
            origins[point.name] = Origin(point.name, distribution, point)
    return Kinds(dict(sorted(origins.items())), duplicates)


def _load(origin: Origin) -> Probe:
    try:
        if origin.entry_point is not None:
            found = origin.entry_point.load()
        else:
            found = _probe_class(importlib.import_module(f"ots.probes.{origin.kind}"), origin.kind)
        probe = found()
    except Exception as error:
        raise BrokenProbe(
            f"{origin.kind} from {origin.distribution}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(probe, Probe) or probe.kind != origin.kind:
        raise BrokenProbe(f"{origin.kind} from {origin.distribution}: it is no probe of kind {origin.kind!r}")
    return probe


def _probe_class(module: object, kind: str) -> type[Probe]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Probe) and getattr(value, "kind", None) == kind:
            return value
    raise TypeError(f"no class with kind = {kind!r} in {module}")
