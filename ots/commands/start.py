"""Plain `ots`: where am I attached, what was measured last, what next."""

from __future__ import annotations

import click

from ots import __version__
from ots.i18n import _


def show_start() -> None:
    """A screen that answers three questions and needs no network."""
    click.echo(f"OTS {__version__}   {_('network and service test probes')}")
    click.echo()
    _attachment()
    _open_job()
    _server()
    click.echo()
    _last_reports()
    click.echo()
    click.echo(_("What next"))
    for example, meaning in (
        ("ots ping 127.0.0.1", _("measure something now")),
        ("ots demo", _("a whole case against built-in peers on this machine")),
        ("ots cases new ping", _("write a case of your own")),
        ("ots doctor", _("what this machine can and can't measure, and why")),
        ("ots --help", _("everything")),
    ):
        click.echo(f"  {example:<28} {meaning}")


def _attachment() -> None:
    from ots.commands.link import one_line

    click.echo(one_line())


def _open_job() -> None:
    """The job that the next report will belong to, if one is open."""
    from ots.commands.job_view import one_line
    from ots.config import data_dir
    from ots.store import StoreError
    from ots.store.jobs import read_jobs

    try:
        record = read_jobs(data_dir()).current
    except StoreError as error:
        click.echo(str(error))
        return
    if record is not None:
        click.echo(f"{_('Job')} {one_line(record)}")


def _server() -> None:
    """The server that reports go to, and how many of them wait, if there is one."""
    from ots.config import data_dir
    from ots.remote.enrolled import is_member

    if not is_member(data_dir()):
        return
    from ots.remote.membership import MembershipError, read_membership
    from ots.store import Store, StoreError
    from ots.store.outbox import Outbox

    try:
        membership = read_membership(data_dir())
        if membership is None:
            return
        with Store.open(data_dir()) as store:
            waiting = Outbox(store).waiting(membership.agent_id)
    except (MembershipError, StoreError) as error:
        click.echo(str(error))
        return
    line = f"{_('Server')} {membership.server_name}   {membership.url}"
    click.echo(line + (f"   {_('waiting to be sent: {n}').format(n=waiting)}" if waiting else ""))


def _last_reports() -> None:
    from ots.commands.report import last_lines

    click.echo(_("Last reports"))
    lines = last_lines(3)
    for line in lines:
        click.echo("  " + line)
    if not lines:
        click.echo("  " + _("none yet"))
