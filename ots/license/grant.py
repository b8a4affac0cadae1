"""What a licence grants, by its tier and by its own words. Pure: for the planner here, and for a server."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ots.license import tiers

if TYPE_CHECKING:
    from ots.license.document import Licence


@dataclass(frozen=True, slots=True)
class Grant:
    """The grant of a licence that is honoured; of none, that of the tier `default`."""

    licence: Licence | None = None

    @property
    def tier(self) -> tiers.Tier:
        return "default" if self.licence is None else self.licence.tier

    def covers(self, feature: str) -> bool:
        """Whether a feature may be used. Nobody has less than `default`."""
        return tiers.grants("default", feature) or self.adds(feature)

    def adds(self, feature: str) -> bool:
        """Whether the licence itself grants a feature: its most exact word, or else its tier's."""
        if self.licence is None:
            return False
        own = self.licence.features
        patterns = [pattern for pattern in own if fnmatchcase(feature, pattern)]
        if patterns:
            return own[max(patterns, key=lambda pattern: (pattern == feature, len(pattern)))]
        return tiers.grants(self.licence.tier, feature)

    def limit(self, name: str) -> float | None:
        """A number of `tiers.LIMITS`, as the licence changes it; never less than `default` grants."""
        values = tiers.LIMITS[name].values
        if self.licence is None:
            return values["default"]
        own = self.licence.limits.get(name, values[self.licence.tier])
        return tiers.more_generous(name, values["default"], own)
