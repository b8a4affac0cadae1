"""Words of the data that pages show in the reader's language; templates look them up as they come."""

from __future__ import annotations

from ots.i18n import N_

STATUSES = (N_("active"), N_("pending"), N_("suspended"), N_("revoked"), N_("left"))
ACTIONS = (N_("approve"), N_("refuse"), N_("suspend"), N_("resume"), N_("revoke"))
TIERS = (N_("default"), N_("friendly"), N_("professional"))
KINDS = (N_("measured"), N_("note"), N_("redaction"), N_("judgement"))
ROLES = (
    N_("viewer"),
    N_("operator"),
    N_("engineer"),
    N_("manager"),
    N_("licence_manager"),
    N_("auditor"),
    N_("admin"),
)
STATES = (
    *(N_("completed"), N_("aborted"), N_("late"), N_("missed"), N_("skipped"), N_("refused")),
    *(N_("interrupted"), N_("missing"), N_("awaited")),
)
