"""Where the case of a report came from, for people: whether it was signed content, and how fresh."""

from __future__ import annotations

from ots.model.report import CaseRef
from ots.reports.plain import plain
from ots.reports.reading import Reader


def origin(case: CaseRef, reader: Reader) -> list[str]:
    """`signed`, and `stale since …` where nobody vouched for it any more; nothing of other layers."""
    _ = reader.words.gettext
    found = [_("signed")] if case.layer == "synced" else []
    if case.stale_since is not None:
        found.append(_("stale since {when}").format(when=plain(case.stale_since[:19]) + "Z"))
    return found
