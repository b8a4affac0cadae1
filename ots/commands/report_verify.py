"""`ots report verify`: are stored reports whole, is a file what an agent signed, does the server keep it?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.report_shelf import the
from ots.commands.store_errors import open_shelf
from ots.i18n import _
from ots.store import Entry, Shelf, StoreError

if TYPE_CHECKING:
    from ots.remote.proof import Unproven

_MAX_STATEMENT = 65_536
_EXAMPLES = """\b
Examples:
  ots report verify
  ots report verify 412 --server
  ots report verify 412-office.json
  ots report verify 412-office.json --signature 412.sig --key 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo
"""


@click.command(
    "verify",
    help=_("Check stored reports against their hashes, or a file against its signature.")
    + "\n\n"
    + _EXAMPLES,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("references", metavar="[REPORT…|FILE]", nargs=-1)
@click.option(
    "--signature",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("The file with the signature or receipt (FILE.sig, FILE.receipt)."),
)
@click.option("--key", metavar="KEY", help=_("The agent's public key (this machine's own)."))
@click.option("--server", is_flag=True, help=_("Check that the server keeps it: by its receipt."))
@json_option
def verify_command(
    references: tuple[str, ...], signature: Path | None, key: str | None, server: bool, as_json: bool
) -> int:
    files = [Path(text) for text in references if "/" in text or Path(text).suffix]
    if not files:
        if signature is not None or key is not None:
            raise CommandError(_("--signature and --key belong to a file"), remedy=_("name the file"))
        return _stored(references, server=server, as_json=as_json)
    if len(references) > 1 or (server and key is not None):
        raise CommandError(_("one file at a time, with either --key or --server"))
    return _file(files[0], signature, key, server=server, as_json=as_json)


def _stored(references: Sequence[str], *, server: bool, as_json: bool) -> int:
    checked: list[dict[str, Any]] = []
    with open_shelf() as shelf:
        entries = [the(shelf, text) for text in references] if references else list(shelf.list())
        for entry in entries:
            if not entry.running:
                damage = _damage(shelf, entry) or (_no_receipt(shelf, entry) if server else None)
                checked.append({"seq": entry.seq, "report_id": entry.report_id, "damage": damage})
    damaged = [row for row in checked if row["damage"] is not None]
    if as_json:
        print_json({"checked": len(checked), "damaged": damaged})
    else:
        for row in damaged:
            click.echo(f"#{row['seq']}  {row['damage']}")
        click.echo(_("{n} checked, {bad} damaged").format(n=len(checked), bad=len(damaged)))
    return exit_codes.FAIL if damaged else exit_codes.PASS


def _file(path: Path, signature: Path | None, key: str | None, *, server: bool, as_json: bool) -> int:
    from ots.config import settings
    from ots.remote import proof
    from ots.signing.keys import UnusableKey

    data = _bytes(path)
    place = signature or path.with_name(
        path.name + (proof.RECEIPT_SUFFIX if server else proof.SIGNATURE_SUFFIX)
    )
    folder = settings().data_dir
    try:
        statement = _statement(place)
        if server:
            receipt = proof.kept_by_server(data, statement, proof.server_keys(folder))
            said: dict[str, Any] = {"server_id": receipt.server_id, "received_at": receipt.received_at}
            found: Any = receipt
        else:
            keys = proof.own_key(folder) if key is None else proof.given_key(key)
            found = proof.signed_by_agent(data, statement, keys)
            said = {"seq": found.seq, "key_id": next(iter(keys))}
    except UnusableKey as error:
        raise CommandError(str(error), remedy=error.remedy, exit_code=exit_codes.ERROR) from None
    except proof.Unproven as error:
        return _unproven(path, error, as_json=as_json)
    if as_json:
        facts = {"agent_id": found.agent_id, "report_id": found.report_id, "revision": found.revision}
        print_json({"proven": True, "fault": None, "reason": None, **facts, **said})
        return exit_codes.PASS
    text = (
        _("the server {server} has kept exactly this since {time}: report {report}, revision {revision}")
        if server
        else _("agent {agent} signed exactly this: report {report}, revision {revision}")
    )
    click.echo(
        text.format(
            agent=found.agent_id,
            report=found.report_id,
            revision=found.revision,
            server=said.get("server_id"),
            time=said.get("received_at"),
        )
    )
    return exit_codes.PASS


def _unproven(path: Path, error: Unproven, *, as_json: bool) -> int:
    """Says why nothing is proven: not proven is no verdict on the content (3), proven changed is one (1)."""
    if as_json:
        print_json({"proven": False, "fault": error.fault, "reason": str(error)})
    else:
        click.echo(_("{path}: not proven: {reason}").format(path=path, reason=error))
    return exit_codes.ERROR if error.fault == "no-key" else exit_codes.FAIL


def _statement(path: Path) -> str:
    if not path.exists():
        raise CommandError(
            _("there is no signature {path}").format(path=path),
            remedy=_("name it with --signature; ots report export --sign writes one"),
        )
    return _bytes(path, _MAX_STATEMENT + 1).decode("ascii", "replace")


def _bytes(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise CommandError(
            _("cannot read {path}: {reason}").format(path=path, reason=error.strerror or error)
        ) from None


def _damage(shelf: Shelf, entry: Entry) -> str | None:
    from hashlib import sha256

    store = shelf.store_of(entry)
    try:
        store.document(entry)
        for digest in store.artifact_digests(entry):
            if sha256(store.artifact(digest)).hexdigest() != digest:
                return _("an artifact was changed: {digest}").format(digest=digest)
    except StoreError as error:
        return str(error)
    return None


def _no_receipt(shelf: Shelf, entry: Entry) -> str | None:
    """Why the server's receipt for a report proves nothing; None if it does."""
    from ots.remote import proof
    from ots.store.outbox import Outbox

    kept = Outbox(shelf.store_of(entry)).receipt(entry)
    if kept is None:
        return _("the server has given no receipt")
    try:
        proof.check_kept(kept.statement, entry, kept.sha256, proof.server_keys(entry.folder))
    except proof.Unproven as error:
        return str(error)
    return None
