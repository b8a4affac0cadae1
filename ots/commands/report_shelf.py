"""Which stored reports a person means: by number, by time."""

from __future__ import annotations

from ots.commands.output import CommandError
from ots.i18n import _
from ots.store import Entry, Shelf, StoreError


def the(shelf: Shelf, reference: str) -> Entry:
    """The one report that is meant: `last`, `-1`, a number, the start of an id."""
    try:
        return shelf.get(reference)
    except ValueError as error:
        raise CommandError(str(error), remedy=_("ots report list shows what there is")) from None
    except StoreError as error:
        raise CommandError(str(error), remedy=error.remedy) from None


def moment(text: str | None) -> str | None:
    """A stamp in UTC from a date or time (in the reader's zone unless it names one), or from an age."""
    if text is None:
        return None
    from datetime import UTC, datetime, timedelta

    from ots.units import UnitError, parse

    try:
        found = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        try:
            found = datetime.now(UTC) - timedelta(seconds=parse(text, "duration"))
        except (UnitError, OverflowError):
            raise CommandError(
                _("{text!r} is neither a date, a time nor an age").format(text=text),
                remedy=_("write 2026-03-01, '2026-03-01 14:00', 2h or 3d"),
            ) from None
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
