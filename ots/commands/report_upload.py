"""`ots report upload`: send reports to the server now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.store_errors import store_errors
from ots.i18n import _

if TYPE_CHECKING:
    from ots.store import Entry, Store

_EXAMPLES = """\b
Examples:
  ots report upload
  ots report upload 412 last
  ots report upload --all
  ots report upload --retry-parked
"""


@click.command(
    "upload",
    help=_("Send reports to the server now: those that wait, or those that you name.") + "\n\n" + _EXAMPLES,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("references", metavar="[REPORT…]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help=_("Every report that is not on the server yet."))
@click.option("--retry-parked", is_flag=True, help=_("Those, too, that the server would not have before."))
@click.option("--again", is_flag=True, help=_("Offer again what was sent: to a server that lost it."))
@json_option
def upload_command(
    references: tuple[str, ...], everything: bool, retry_parked: bool, again: bool, as_json: bool
) -> int:
    from ots.commands.uploading import progress_line
    from ots.config import settings
    from ots.remote.enrolled import is_member, upload_mode
    from ots.remote.sending import send_waiting
    from ots.store import Store
    from ots.store.outbox import Outbox

    folder = settings().data_dir
    if not is_member(folder):
        raise CommandError(_("this machine belongs to no server"), remedy=_("ots agent enroll URL"))
    if upload_mode(settings()) == "off":
        raise CommandError(_("the setting upload.mode is off"), remedy=_("ots config set upload.mode manual"))
    with store_errors(), Store.open(folder) as store:
        outbox = Outbox(store)
        chosen = _named(store, references, again=again)
        if everything or (again and not references):
            wanted = ("none", "sent") if again else ("none",)
            chosen += [entry for entry in store.list() if entry.upload in wanted and _own(entry)]
        if retry_parked:
            chosen += [entry for entry in store.list() if entry.upload == "parked" and _own(entry)]
        outbox.add(chosen)
        agent_id = settings().agent_id
        rows = [entry.id for entry in chosen] if references else list(outbox.due(agent_id, float("inf")))
        outcome = send_waiting(store, settings(), rows=rows, by_hand=True, progress=progress_line)
        after = {entry.id: entry for entry in store.list() if entry.id in set(rows)}
    tried = [after[row] for row in rows if row in after]
    sent = [entry for entry in tried if entry.upload == "sent"]
    if as_json:
        print_json(
            {
                "sent": [entry.seq for entry in sent],
                "not_sent": [_document(entry) for entry in tried if entry.upload != "sent"],
                "stopped": "busy" if outcome.busy else outcome.stopped,
            }
        )
    else:
        _tell(tried, sent, outcome.stopped, busy=outcome.busy)
    return exit_codes.PASS if len(sent) == len(tried) else exit_codes.NOT_WRITTEN


def _named(store: Store, references: Sequence[str], *, again: bool) -> list[Entry]:
    """The reports that were named, in this machine's own store. CommandError where one can't be sent."""
    chosen = []
    for reference in references:
        try:
            entry = store.get(reference)
        except ValueError as error:
            raise CommandError(str(error), remedy=_("ots report list shows what there is")) from None
        if entry.running:
            raise CommandError(_("the run of report {seq} still goes on").format(seq=entry.seq))
        if not _own(entry):
            raise CommandError(_("report {seq} is of another agent").format(seq=entry.seq))
        if entry.upload != "sent" or again:
            chosen.append(entry)
    return chosen


def _own(entry: Entry) -> bool:
    from ots.config import settings

    return entry.agent_id == settings().agent_id and not entry.running


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "report_id": entry.report_id,
        "upload": entry.upload,
        "reason": entry.upload_reason,
    }


def _tell(tried: Sequence[Entry], sent: Sequence[Entry], stopped: str | None, *, busy: bool) -> None:
    from ots.commands.uploading import fate

    for entry in tried:
        if entry.upload != "sent":
            click.echo(f"#{entry.seq}  {fate(entry.upload, entry.upload_reason)}")
    click.echo(_("{n} sent").format(n=len(sent)))
    if busy:
        click.echo(_("another process is sending"), err=True)
    elif stopped is not None:
        click.echo(_("stopped: {reason}").format(reason=stopped), err=True)
