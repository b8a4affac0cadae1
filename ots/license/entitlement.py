"""What may be done here and now: the local switches, then the tier `default`, then the licence in force.

The first two need no signature. So nothing is read or verified as long as `default` suffices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ots.license import tiers
from ots.license.policy import Refusal

if TYPE_CHECKING:
    from ots.license.document import Licence
    from ots.license.installed import Standing, Standings


class Rights:
    """The rights of one run: a snapshot, for the licence is looked at once, when it is first needed.

    `switched_off` are features by name with the place in the settings that says so; `installed` reads the
    licences of this installation, None where there are none.
    """

    def __init__(
        self, switched_off: Mapping[str, str], installed: Callable[[], Standings | None] = lambda: None
    ) -> None:
        self.switched_off = switched_off
        self._read = installed

    @cached_property
    def standings(self) -> Standings | None:
        """How the licences of this installation stood when this was first asked; None if there are none."""
        return self._read()

    @property
    def chosen(self) -> Standing | None:
        """The licence in force."""
        return None if self.standings is None else self.standings.chosen

    @property
    def tier(self) -> tiers.Tier:
        licence = self._licence()
        return "default" if licence is None else licence.tier

    def refusal(self, feature: str) -> Refusal | None:
        """Why a feature may not be used. The settings are asked first, so that they always narrow."""
        place = self.switched_off.get(feature)
        if place is not None:
            return Refusal(feature, "", None, "settings", place)
        if tiers.grants("default", feature) or self.granted(feature):
            return None
        return Refusal(feature, self.tier, tiers.granted_from(feature))

    def limit(self, name: str) -> float | None:
        """A number of the tier in force, as its licence changes it; never less than `default` grants."""
        basic = tiers.LIMITS[name].values["default"]
        licence = self._licence()
        if licence is None:
            return basic
        own = licence.limits.get(name, tiers.LIMITS[name].values[licence.tier])
        return tiers.more_generous(name, basic, own)

    def record(self, wall: float) -> dict[str, Any]:
        """The licence in force as a report names it, or else the one that was last in force."""
        standings = self.standings
        shown = None if standings is None else standings.shown
        licence = None if shown is None else shown.licence
        return {
            "tier": self.tier,
            "licence_id": None if licence is None else licence.licence_id,
            "serial": None if licence is None else licence.serial,
            "state": None if standings is None or shown is None else standings.state_at(shown, wall),
        }

    def granted(self, feature: str) -> bool:
        """Whether the licence in force grants a feature: its own word, or else its tier's."""
        licence = self._licence()
        if licence is None:
            return False
        own = [pattern for pattern in licence.features if fnmatchcase(feature, pattern)]
        if own:
            return licence.features[max(own, key=lambda pattern: (pattern == feature, len(pattern)))]
        return tiers.grants(licence.tier, feature)

    def _licence(self) -> Licence | None:
        return None if self.chosen is None else self.chosen.licence
