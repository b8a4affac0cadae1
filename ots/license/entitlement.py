"""What may be done here and now: the local switches, then the tier `default`, then the licence in force.

The first two need no signature. So nothing is read or verified as long as `default` suffices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ots.license import tiers
from ots.license.grant import Grant
from ots.license.policy import Refusal

if TYPE_CHECKING:
    from ots.license.installed import Standing, Standings


class Rights:
    """The rights of one run: a snapshot, for the licence is looked at once, when it is first needed.

    `switched_off` are features, or families (`probe:voice_*`), with the place in the settings that says so;
    `installed` reads the licences of this installation, None where there are none.
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
    def grant(self) -> Grant:
        """What the licence in force grants."""
        return Grant(None if self.chosen is None else self.chosen.licence)

    @property
    def tier(self) -> tiers.Tier:
        return self.grant.tier

    def refusal(self, feature: str) -> Refusal | None:
        """Why a feature may not be used. The settings are asked first, so that they always narrow."""
        place = self.place_of_switch(feature)
        if place is not None:
            return Refusal(feature, "", None, "settings", place)
        if tiers.grants("default", feature) or self.grant.adds(feature):
            return None
        would = tiers.granted_from(feature)
        return Refusal(feature, self.tier, None if tiers.grants(self.tier, feature) else would)

    def place_of_switch(self, feature: str) -> str | None:
        """Where the settings switch a feature, or its family, off; None if they don't."""
        places = (place for name, place in self.switched_off.items() if fnmatchcase(feature, name))
        return next(places, None)

    def limit(self, name: str) -> float | None:
        """A number of the licence in force; never less than `default` grants."""
        return self.grant.limit(name)

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
