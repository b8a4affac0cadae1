"""`ots agent`: this machine as a member of a server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ots.commands import exit_codes
from ots.commands.agent_hold import hold_command, release_command
from ots.commands.agent_install import install_command, uninstall_command
from ots.commands.agent_policy import policy_group
from ots.commands.agent_resident import planned_here, resident_document, resident_lines
from ots.commands.agent_run import run_command
from ots.commands.agent_schedule import schedule_group
from ots.commands.kind import SecretPlace
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.run_options import Line
from ots.commands.store_errors import store_errors
from ots.i18n import _

if TYPE_CHECKING:
    from ots.remote.client import Refused
    from ots.remote.enrol import Application
    from ots.remote.identity import Identity
    from ots.remote.membership import Membership

_EXAMPLES = """\b
Examples:
  ots agent enroll https://ots.example --token-from prompt
  ots agent enroll https://ots.example --token-from file:/root/token --name lab-3 --wait
  ots agent status
"""
_MAX_CA = 1 << 20


@click.group(
    "agent", help=_("This machine as a member of a server: enrol, status, leave.") + "\n\n" + _EXAMPLES
)
def command() -> None:
    pass


command.add_command(hold_command)
command.add_command(release_command)
command.add_command(policy_group)
for _part in (run_command, schedule_group, install_command, uninstall_command):
    command.add_command(_part)


@command.command(
    "enroll", help=_("Give this machine its place on a server; its reports are sent there from then on.")
)
@click.argument("url", metavar="URL")
@click.option(
    "--token-from",
    type=SecretPlace(),
    required=True,
    help=_("Where the enrolment token lies: env:NAME, file:PATH or prompt."),
)
@click.option("--name", type=Line(100), help=_("What people call this machine (its host name)."))
@click.option("--department", type=Line(60), help=_("The department, where the token leaves a choice."))
@click.option("--project", type=Line(60), help=_("The project, where the token leaves a choice."))
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("Trust only the authorities in this file (PEM), not the system's."),
)
@click.option("--plain-http", is_flag=True, help=_("Allow http:// to another machine."))
@click.option("--wait", is_flag=True, help=_("Wait until a person has approved it."))
@json_option
def enroll_command(
    url: str,
    token_from: str,
    name: str | None,
    department: str | None,
    project: str | None,
    ca: Path | None,
    plain_http: bool,
    wait: bool,
    as_json: bool,
) -> int:
    from ots.config import settings
    from ots.remote.client import check_address
    from ots.remote.enrol import Application
    from ots.remote.membership import MembershipError, read_membership

    with _faults():
        address = check_address(url, plain_http=plain_http)
        try:
            before = read_membership(settings().data_dir)
        except MembershipError as error:
            click.echo(str(error), err=True)
            before = None
        if before is not None and before.url != address:
            raise CommandError(
                _("this machine belongs to {name} ({url})").format(name=before.server_name, url=before.url),
                remedy=_("leave it first: ots agent leave"),
            )
        wish = Application(
            url=address,
            token=_token(token_from),
            name=name or (before.name if before is not None else socket.gethostname()),
            department=department,
            project=project,
            ca=_pem(ca) if ca is not None else before.ca if before is not None else None,
            plain_http=plain_http,
        )
        membership = asyncio.run(_enrol(wish, wait=wait))
    _show(membership, as_json=as_json)
    return exit_codes.PASS if membership.status in ("active", "pending") else exit_codes.FAIL


@command.command("status", help=_("Where this machine stands on its server, and what waits to be sent."))
@click.option("--offline", is_flag=True, help=_("Don't ask the server; say what is known here."))
@json_option
def status_command(offline: bool, as_json: bool) -> int:
    with _faults():
        membership = _membership_or_none()
        if membership is None and not planned_here():
            membership = _membership()
        if membership is None:
            _show_resident(as_json=as_json)
            return exit_codes.PASS
        unreachable = None if offline else asyncio.run(_ask(membership))
    _show(membership, as_json=as_json, unreachable=unreachable)
    if not as_json:
        _show_resident(as_json=False)
    return exit_codes.ERROR if unreachable is not None else exit_codes.PASS


@command.command("leave", help=_("Give the place on the server up. Reports stay here and there."))
@click.option("--yes", is_flag=True, help=_("Don't ask, also where reports wait to be sent."))
@click.option("--offline", is_flag=True, help=_("Forget the server without telling it."))
@json_option
def leave_command(yes: bool, offline: bool, as_json: bool) -> int:
    from ots.config import settings
    from ots.remote.membership import forget
    from ots.store import Store
    from ots.store.outbox import Outbox

    folder = settings().data_dir
    with _faults(), store_errors(), Store.open(folder) as store:
        membership = _membership()
        waiting = Outbox(store).waiting(membership.agent_id)
        if waiting and not yes:
            raise CommandError(
                _("{n} reports wait to be sent to {name}").format(n=waiting, name=membership.server_name),
                remedy=_("send them: ots report upload --all; or leave without: ots agent leave --yes"),
            )
        if not offline:
            asyncio.run(_leave(membership))
        forget(folder)
        Outbox(store).withdraw_all(membership.agent_id)
    if as_json:
        print_json({"left": membership.url, "not_sent": waiting})
    else:
        click.echo(_("left {name}").format(name=membership.server_name))
    return exit_codes.PASS


def _membership_or_none() -> Membership | None:
    from ots.config import settings
    from ots.remote.membership import read_membership

    return read_membership(settings().data_dir)


def _show_resident(*, as_json: bool) -> None:
    if as_json:
        print_json({"server": None, "resident": resident_document()})
    else:
        click.echo("\n".join(resident_lines()))


def _membership() -> Membership:
    found = _membership_or_none()
    if found is None:
        raise CommandError(_("this machine belongs to no server"), remedy=_("ots agent enroll URL"))
    return found


async def _enrol(wish: Application, *, wait: bool) -> Membership:
    from ots.config import settings
    from ots.remote.client import Client
    from ots.remote.enrol import enrol, tell, wait_for_approval

    folder, who = settings().data_dir, _identity()
    membership = await enrol(folder, wish, who)
    _end_pause()
    async with Client(membership.url, who, clock_offset=membership.clock_offset, ca=membership.ca) as client:
        if wait and membership.status == "pending":
            click.echo(_("waiting for a person to approve it; Ctrl-C ends only the waiting"), err=True)
            await wait_for_approval(folder, membership, client)
        if membership.status == "active":
            await tell(membership, client, settings(), _waiting(membership))
    return membership


async def _ask(membership: Membership) -> Refused | None:
    """Asks the server; why it could not be asked."""
    from ots.config import settings
    from ots.remote.client import Client, Refused
    from ots.remote.enrol import refresh, tell

    who = _identity()
    offset = membership.clock_offset
    async with Client(membership.url, who, clock_offset=offset, ca=membership.ca) as client:
        try:
            await refresh(settings().data_dir, membership, client)
            if membership.status == "active":
                await tell(membership, client, settings(), _waiting(membership))
        except Refused as refused:
            return refused
    return None


async def _leave(membership: Membership) -> None:
    from ots.config import settings
    from ots.remote.client import Client
    from ots.remote.enrol import leave

    who = _identity()
    offset = membership.clock_offset
    async with Client(membership.url, who, clock_offset=offset, ca=membership.ca) as client:
        await leave(settings().data_dir, client)


def _identity() -> Identity:
    from ots.config import settings
    from ots.remote.identity import identity

    return identity(settings().data_dir)


def _end_pause() -> None:
    """What another server, or another standing there, forbade for a while holds no longer."""
    from ots.config import settings
    from ots.store import Store
    from ots.store.outbox import Outbox

    with store_errors(), Store.open(settings().data_dir) as store:
        Outbox(store).set_pause(0, 0.0, None)


def _waiting(membership: Membership, *, parked: bool = False) -> int:
    from ots.config import settings
    from ots.store import Store
    from ots.store.outbox import Outbox

    with store_errors(), Store.open(settings().data_dir) as store:
        outbox = Outbox(store)
        return (outbox.parked if parked else outbox.waiting)(membership.agent_id)


def _show(membership: Membership, *, as_json: bool, unreachable: Refused | None = None) -> None:
    waiting, parked = _waiting(membership), _waiting(membership, parked=True)
    if as_json:
        print_json(
            {
                "server": {
                    "url": membership.url,
                    "name": membership.server_name,
                    "server_id": membership.server_id,
                },
                "agent_id": membership.agent_id,
                "name": membership.name,
                "status": membership.status,
                "department": membership.department,
                "project": membership.project,
                "tier": membership.tier,
                "clock_offset_seconds": round(membership.clock_offset, 3),
                "enrolled_at": membership.enrolled_at,
                "asked_at": membership.refreshed_at,
                "waiting": waiting,
                "parked": parked,
                "unreachable": None if unreachable is None else unreachable.code,
                "resident": resident_document(),
            }
        )
        return
    words = {
        "active": _("active"),
        "pending": _("waits for approval"),
        "suspended": _("suspended"),
        "revoked": _("revoked"),
        "left": _("left"),
    }
    rows = [
        (_("Server"), f"{membership.server_name}   {membership.url}"),
        (_("This machine"), f"{membership.name}   {membership.agent_id}"),
        (_("Status"), words[membership.status]),
        (_("Department"), membership.department),
        (_("Project"), membership.project),
        (_("Tier"), membership.tier),
        (_("Waiting"), _("{n} reports").format(n=waiting) if waiting else None),
        (_("Parked"), _("{n} reports").format(n=parked) if parked else None),
        (
            _("Clock"),
            _("{seconds} s from the server's").format(seconds=f"{membership.clock_offset:+.0f}")
            if abs(membership.clock_offset) >= 5
            else None,
        ),
    ]
    for title, text in rows:
        if text is not None:
            click.echo(f"{title}: {text}")
    if unreachable is not None:
        click.echo(_("The server could not be asked: {reason}").format(reason=unreachable), err=True)


def _token(place: str) -> str:
    from ots.config import settings
    from ots.config.secret import SecretError

    try:
        return settings().secret(place).strip()
    except SecretError as error:
        raise CommandError(str(error), remedy=error.remedy) from None


def _pem(path: Path) -> str:
    try:
        with path.open("r", encoding="ascii") as file:
            return file.read(_MAX_CA)
    except (OSError, UnicodeDecodeError):
        raise CommandError(_("the file of --ca holds no certificate")) from None


@contextmanager
def _faults() -> Iterator[None]:
    """What can go wrong with a server, in words and exit codes."""
    from ots.remote.client import AddressError, Refused
    from ots.remote.membership import MembershipError
    from ots.signing.keys import UnusableKey

    try:
        yield
    except AddressError as error:
        raise CommandError(str(error), remedy=error.remedy) from None
    except (MembershipError, UnusableKey) as error:
        raise CommandError(str(error), remedy=error.remedy, exit_code=exit_codes.NOT_WRITTEN) from None
    except Refused as refused:
        answered = refused.decision != "retry"
        raise CommandError(
            _("{reason} ({code})").format(reason=refused, code=refused.code),
            exit_code=exit_codes.FAIL if answered else exit_codes.ERROR,
            remedy=_remedy(refused),
        ) from None


def _remedy(refused: Refused) -> str | None:
    if refused.code.startswith("token-") or refused.code == "agent-left":
        return _("ask for a new token")
    if refused.code in ("key-in-use", "agent-revoked"):
        return _("a manager can release this machine's id on the server")
    if refused.decision == "retry":
        return _("check the address and the network, and try again")
    return None
