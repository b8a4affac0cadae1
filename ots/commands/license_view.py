"""Licences as people and as programs read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ots.commands.columns import cells, padded
from ots.i18n import N_, _
from ots.license.document import Licence, moment
from ots.license.entitlement import Rights
from ots.license.installed import Standing, Standings
from ots.license.state import State, ends
from ots.license.tiers import DAY
from ots.reports.plain import plain
from ots.reports.words import LICENCE_STATES

NEAR_END = 14 * DAY
"""So long before its end a run warns of it."""

_REMEDIES: dict[State, str] = {
    "expired": N_("ask for a newer one: ots license request --tier TIER"),
    "revoked": N_("ask whoever issued it"),
    "revocations-missing": N_("install that list first: ots license install FILE"),
    "binding-mismatch": N_("ask for one of this machine's own: ots license request --tier TIER"),
    "serial-rollback": N_("--allow-downgrade takes an older one that grants no more than the present"),
    "bad-signature": N_("get the file anew from whoever issued it"),
    "unknown-key": N_("enrol with its issuer's server, or set license.issuers to the issuer's public key"),
    "malformed": N_("get the file anew from whoever issued it"),
}


def words(state: State) -> str:
    return _(LICENCE_STATES[state])


def reason(standing: Standing) -> str:
    """Why a licence is as it is, with the particulars where the file itself is the trouble."""
    return words(standing.state) + (f" ({standing.reason})" if standing.reason else "")


def remedy(state: State) -> str | None:
    text = _REMEDIES.get(state)
    return None if text is None else _(text)


def warnings(rights: Rights) -> Iterator[str]:
    """What to know before a run: a licence that ends soon, or doesn't count, or can't be read."""
    standings = rights.standings
    if standings is None:
        return
    yield from standings.warnings
    shown = standings.shown
    if shown is None:
        return
    licence = shown.licence
    if standings.chosen is None or licence is None:
        yield _("the licence {name} does not count ({reason}): the tier default holds").format(
            name=plain(shown.name), reason=reason(shown)
        )
    elif shown.state == "grace":
        yield _("the licence {tier} ended on {day}; it is honoured until {last}").format(
            tier=licence.tier, day=_day(moment(licence.not_after)), last=_day(ends(licence))
        )
    elif moment(licence.not_after) - standings.now < NEAR_END:
        yield _("the licence {tier} ends on {day}: ots license show").format(
            tier=licence.tier, day=_day(moment(licence.not_after))
        )


def document(rights: Rights) -> dict[str, Any]:
    """All licences as JSON; every key is always there, times are RFC 3339 UTC."""
    standings = rights.standings
    found = [] if standings is None else list(standings.all.values())
    return {
        "tier": rights.tier,
        "licences": [standing_document(standing, chosen=rights.chosen) for standing in found],
        "warnings": [] if standings is None else list(standings.warnings),
    }


def standing_document(standing: Standing, *, chosen: Standing | None) -> dict[str, Any]:
    """One licence as JSON; the fields of the licence are null where its signature proves nothing."""
    licence = standing.licence
    fields = ("licence_id", "serial", "tier", "issued_at", "not_before", "not_after", "refresh_after")
    stated: dict[str, Any] = {name: getattr(licence, name, None) for name in (*fields, "grace_days", "note")}
    subject, binding = (None, None) if licence is None else (licence.subject, licence.binding)
    return {
        "file": standing.name or None,
        "state": standing.state,
        "reason": standing.reason or None,
        "in_force": standing is chosen,
        **stated,
        **{name: getattr(subject, name, None) for name in ("org", "department", "project")},
        "binding": getattr(binding, "kind", None),
    }


def lines(rights: Rights, *, everything: bool) -> list[str]:
    """The licence in force for a person, or all of them."""
    standings = rights.standings
    if standings is None or not standings.all:
        return [_("no licence is installed: the tier default holds (ots license features)")]
    if everything:
        return [line for standing in _ordered(standings) for line in standing_lines(standing)]
    shown = standings.shown
    found = [] if shown is None else standing_lines(shown)
    if standings.chosen is None:
        found.append(_("the tier default holds (ots license features)"))
    return found


def standing_lines(standing: Standing) -> list[str]:
    """One licence for a person."""
    licence = standing.licence
    if licence is None:
        return [f"{plain(standing.name)}   {reason(standing)}"]
    rows = [
        (_("For"), " / ".join(plain(name) for name in _names(licence)) or _("anybody")),
        (_("Holds"), f"{_day(moment(licence.not_before))} – {_day(moment(licence.not_after))}"),
        (_("Grace"), _("until {day}").format(day=_day(ends(licence)))),
        (_("Bound to"), _bound_to(licence)),
        (_("Number"), f"{licence.serial}   {licence.licence_id}"),
    ]
    if licence.note:
        rows.append((_("Note"), plain(licence.note)))
    width = max(cells(label) for label, _text in rows)
    head = f"{_('Licence')} {licence.tier}   {reason(standing)}"
    return [head, *(f"  {padded(label, width)}  {text}" for label, text in rows)]


def _ordered(standings: Standings) -> list[Standing]:
    """The one in force first, the others by name."""
    rest = [each for each in standings.all.values() if each is not standings.chosen]
    return [standings.chosen, *rest] if standings.chosen is not None else rest


def _names(licence: Licence) -> list[str]:
    subject = licence.subject
    return [name for name in (subject.org, subject.department, subject.project) if name is not None]


def _bound_to(licence: Licence) -> str:
    binding = licence.binding
    if binding.kind == "agents":
        return ", ".join(plain(agent) for agent in binding.agents[:3]) + (
            " …" if len(binding.agents) > 3 else ""
        )
    return _("the project") if binding.kind == "project" else _("nothing")


def _day(instant: float) -> str:
    """The day in UTC: a licence ends for all at the same moment."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M UTC")
