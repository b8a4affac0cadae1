"""What may be done here, feature by feature, and who says so."""

from __future__ import annotations

from typing import Any

from ots.commands.columns import cells, in_columns, padded
from ots.commands.license_view import reason
from ots.i18n import _
from ots.license.entitlement import Rights
from ots.license.policy import Refusal
from ots.license.tiers import FEATURES, LIMITS, granted_from, grants
from ots.reports.plain import plain


def document(rights: Rights) -> dict[str, Any]:
    """Every feature and number as JSON; null is no limit."""
    return {
        "tier": rights.tier,
        "features": [
            {
                "feature": name,
                "title": _(title),
                "allowed": rights.refusal(name) is None,
                "tier": granted_from(name),
                "switched_off": rights.place_of_switch(name),
            }
            for name, title in _rows(rights)
        ],
        "limits": [
            {"name": name, "title": _(limit.title), "value": rights.limit(name)}
            for name, limit in LIMITS.items()
        ],
    }


def lines(rights: Rights) -> list[str]:
    """Every feature and number for a person."""
    rows = []
    for name, title in _rows(rights):
        refused = rights.refusal(name)
        rows.append((name, _("yes") if refused is None else _("no"), _who(rights, name, refused), _(title)))
    numbers = [(name, _number(rights.limit(name)), _(limit.title)) for name, limit in LIMITS.items()]
    return [
        f"{_('Tier')} {rights.tier}",
        *in_columns(rows, 110, widest=40),
        _("Numbers (for what runs unattended, and for the server)"),
        *in_columns(numbers, 110, widest=12),
    ]


def why_document(rights: Rights, feature: str) -> dict[str, Any]:
    """Who says what about a feature, as JSON."""
    refused = rights.refusal(feature)
    return {
        "feature": feature,
        "allowed": refused is None,
        "refused_by": None if refused is None else refused.layer,
        "allowed_by_tier": None if refused is None else refused.allowed_by,
        "layers": [
            {"layer": layer, "says": says, "text": text} for layer, says, text in _layers(rights, feature)
        ],
    }


def why_lines(rights: Rights, feature: str) -> list[str]:
    """Who says what about a feature, for a person: the settings only narrow, then the tiers grant."""
    refused = rights.refusal(feature)
    verdict = _("allowed") if refused is None else _("refused")
    layers = _layers(rights, feature)
    labels = {"settings": _("settings"), "default": _("tier default"), "licence": _("licence")}
    width = max(cells(labels[layer]) for layer, _says, _text in layers)
    found = [
        f"{feature}: {verdict}",
        *(f"  {padded(labels[layer], width)}  {text}" for layer, _says, text in layers),
    ]
    if refused is not None:
        found.append("  → " + _way_out(refused))
    return found


def _layers(rights: Rights, feature: str) -> list[tuple[str, str, str]]:
    """Layer, what it says (`yes`, `no`, `nothing`), and that in words."""
    place = rights.place_of_switch(feature)
    found = [
        ("settings", "nothing", _("do not switch it off"))
        if place is None
        else ("settings", "no", _("switch it off: {place}").format(place=place)),
        ("default", "yes", _("covers it"))
        if grants("default", feature)
        else ("default", "no", _("does not cover it")),
    ]
    shown = None if rights.standings is None else rights.standings.shown
    if shown is None:
        found.append(("licence", "nothing", _("none is installed")))
    elif shown.licence is None or not shown.honoured:
        found.append(("licence", "nothing", f"{plain(shown.name)}: {reason(shown)}"))
    elif rights.grant.adds(feature):
        found.append(("licence", "yes", f"{shown.licence.tier}: {_('covers it')}"))
    else:
        found.append(("licence", "no", f"{shown.licence.tier}: {_('does not cover it')}"))
    return found


def _way_out(refused: Refusal) -> str:
    if refused.layer == "settings":
        return _("take the line out of {place}").format(place=refused.place)
    if refused.allowed_by is None:
        return _("ask whoever issues licences")
    return _("the tier {tier} would allow it: ots license request --tier {tier}").format(
        tier=refused.allowed_by
    )


def _who(rights: Rights, name: str, refused: Refusal | None) -> str:
    if refused is not None and refused.layer == "settings":
        return _("switched off: {place}").format(place=refused.place)
    return granted_from(name) or ""


def _rows(rights: Rights) -> list[tuple[str, str]]:
    """Features with their titles; those that are switched off one by one stand before their family."""
    single = [(name, "") for name in rights.switched_off if all(row.name != name for row in FEATURES)]
    return [*single, *((row.name, row.title) for row in FEATURES)]


def _number(value: float | None) -> str:
    return _("no limit") if value is None else f"{value:,.0f}"
