"""The upload around a run: what is left over from others before it, its own report after it.

Neither delays a measurement nor changes what a run says of itself: what can't be sent waits. Only who asks
for the upload (`--upload`) learns by the exit code that it failed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, is_interactive
from ots.i18n import _

if TYPE_CHECKING:
    from ots.commands.run_options import RunOptions
    from ots.model.report import Report
    from ots.remote.upload import Outcome
    from ots.store import Store

_BEFORE = 2.0
"""Seconds that a run may wait, before anything is measured, until what is left over from others is sent."""

_ASKED = 60.0
"""Seconds that a run waits at its end for the upload that was asked for."""


def send_before(options: RunOptions) -> None:
    """Refuses an upload that can't be; sends what waits, briefly."""
    from ots.config import settings
    from ots.remote.enrolled import is_member, upload_mode

    if not is_member(settings().data_dir):
        if options.upload:
            raise CommandError(
                _("--upload: this machine belongs to no server"), remedy=_("ots agent enroll URL")
            )
        return
    mode = upload_mode(settings())
    if options.upload and mode == "off":
        raise CommandError(
            _("--upload: the setting upload.mode is off"), remedy=_("ots config set upload.mode manual")
        )
    if mode == "auto" and options.upload is not False:
        from ots.store import Store, StoreError
        from ots.store.outbox import Outbox

        try:
            with Store.open(settings().data_dir) as store:
                if Outbox(store).due(settings().agent_id, time.time()):
                    _send(store, seconds=_BEFORE)
        except StoreError:
            return  # the run says what is wrong with the store


def send_after(report: Report, options: RunOptions) -> int:
    """Sends the report of a run that has ended, and says on a terminal what came of it.

    Whoever ended the run wants it to end: its report is sent by the next one.
    """
    from ots.config import settings
    from ots.remote.enrolled import queue_of_run

    ended = report.run.reason in ("interrupted", "terminated")
    if ended or queue_of_run(settings(), asked=options.upload) == "no":
        return exit_codes.PASS
    from ots.store import Store, StoreError

    asked = options.upload is True
    try:
        with Store.open(settings().data_dir) as store:
            entry = store.get(report.report_id)
            outcome = _send(
                store,
                seconds=_patience(options),
                rows=[entry.id] if asked else None,
                by_hand=asked,
            )
            entry = store.get(report.report_id)
    except StoreError as error:
        click.echo(_("The report was not sent: {reason}").format(reason=error), err=True)
        return exit_codes.NOT_WRITTEN if asked else exit_codes.PASS
    except KeyboardInterrupt:
        click.echo(_("interrupted; the report waits to be sent"), err=True)
        return exit_codes.PASS
    if asked or is_interactive():
        click.echo(fate(entry.upload, entry.upload_reason or outcome.stopped), err=True)
    return exit_codes.NOT_WRITTEN if asked and entry.upload != "sent" else exit_codes.PASS


def _patience(options: RunOptions) -> float:
    """Seconds to wait at the end of a run; a monitoring system has little time for all of it."""
    from ots.config import settings

    if options.upload:
        return _ASKED
    return min(settings().upload.wait, _BEFORE if options.nagios else _ASKED)


def fate(upload: str, reason: str | None) -> str:
    """What became of a report, in a line."""
    if upload == "sent":
        return _("sent to the server")
    if upload == "parked":
        return _("the server won't have it: {reason}").format(reason=reason)
    if reason is None:
        return _("it waits to be sent")
    return _("it waits to be sent: {reason}").format(reason=reason)


def _send(store: Store, *, seconds: float, rows: list[int] | None = None, by_hand: bool = False) -> Outcome:
    from ots.config import settings
    from ots.remote.sending import send_waiting

    return send_waiting(
        store, settings(), seconds=seconds, rows=rows, by_hand=by_hand, progress=progress_line
    )


def progress_line(done: int, total: int) -> None:
    """One line on a terminal's stderr, overwritten each time."""
    if is_interactive():
        click.echo("\r" + _("sending {n} of {total}").format(n=done + 1, total=total), err=True, nl=False)
        click.echo("\r\x1b[K", err=True, nl=False) if done + 1 == total else None
