"""What this installation may do: its switches, its licences, and whom they are for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ots.config import Settings, SettingsError, settings
from ots.license.entitlement import Rights
from ots.license.tiers import FEATURES, feature_of
from ots.registry import kinds
from ots.reports.format import NAMES
from ots.store.licence_files import any_licence

if TYPE_CHECKING:
    from ots.license.installed import Standings
    from ots.store.licences import Licences


def present_rights() -> Rights:
    """The rights at this moment: each run asks anew. Raises SettingsError for a switch of nothing known."""
    stated = settings()
    return Rights(switched_off(stated), lambda: _standings(stated))


def licences(stated: Settings) -> Licences:
    """The licences of this installation; to read them loads the cryptography."""
    from ots.store.licences import Licences

    return Licences(stated.data_dir, stated.agent_id, stated.license.issuers)


def switched_off(stated: Settings) -> dict[str, str]:
    """The features that the settings switch off, and where they say so. Raises SettingsError."""
    found: dict[str, str] = {}
    for name, on in stated.features.items():
        origin = stated.origin(f"features.{name}")
        feature = switch(name, origin)
        if not on:
            found[feature] = origin
    return found


def switch(name: str, place: str) -> str:
    """The feature that a switch of the settings means. Raises SettingsError for none."""
    feature = feature_name(name)
    if feature is None:
        from ots.strictyaml import suggest

        message = f"{place}: features.{name}: there is no such function" + suggest(name, functions())
        raise SettingsError(message, "`ots license features` shows them.")
    return feature


def feature_name(name: str) -> str | None:
    """The feature that a person means: a kind by its name alone, any other as it is; None if unknown.

    Kinds that only a later version has are known by their families.
    """
    if name in functions():
        return name
    feature = "probe:" + name.removeprefix("probe:").replace("-", "_")
    row = feature_of(feature)
    return feature if feature in functions() or (row is not None and row.name != "probe:*") else None


def functions() -> list[str]:
    """Every feature that there is on this machine."""
    return [
        *(f"probe:{kind}" for kind in kinds()),
        *(f"export:{name}" for name in NAMES),
        *(feature.name for feature in FEATURES if "*" not in feature.name),
    ]


def _standings(stated: Settings) -> Standings | None:
    return licences(stated).in_force(time.time()) if any_licence(stated.data_dir) else None
