"""`ots demo`: real measurements against real servers, all on this machine, in a minute."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.case_errors import case_errors
from ots.commands.output import CommandError
from ots.commands.run_options import RunOptions, gather, run_options
from ots.i18n import _

if TYPE_CHECKING:
    from ots.commands.demo_agent import DemoAgent
    from ots.commands.demo_server import DemoServer
    from ots.model.report import Report


@click.command(
    "demo",
    help=_("Start test peers and a cloud server on loopback, measure, show the report here and there."),
)
@run_options
def command(**rest: Any) -> int:
    options = gather(**rest)
    from ots.commands.run import run_to_the_end
    from ots.server.peers.process import PeersFailed, started
    from ots.session.prepare import prepare

    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        try:
            try:
                peers = loop.run(stack.enter_async_context(started()))
            except PeersFailed as error:
                raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
            click.echo(_("test peers: {peers}").format(peers=", ".join(peers.describe())), err=True)
            cloud = loop.run(with_cloud(stack))
            with case_errors():
                plan = prepare("demo", peers.variables())
            result, code = run_to_the_end(plan, options)
            if cloud is None or result.report.run.reason in ("interrupted", "terminated"):
                return code
            return exit_codes.strongest([code, _show_there(loop, *cloud, result.report, options)])
        finally:
            loop.run(stack.aclose())


async def with_cloud(stack: AsyncExitStack) -> tuple[DemoServer, DemoAgent] | None:
    """A cloud server and an agent of it; None where the server's packages are missing."""
    from ots.commands import demo_server

    if not demo_server.installed():
        click.echo(
            _("no cloud server: its packages are missing (pip install 'ots-toolkit[server]')"), err=True
        )
        return None
    from ots.commands.demo_agent import DemoAgent
    from ots.remote.client import Refused
    from ots.remote.membership import MembershipError
    from ots.signing.keys import UnusableKey

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ots-demo-")))
    try:
        server = await stack.enter_async_context(demo_server.started(folder / "server"))
        agent = DemoAgent(folder / "agent")
        await agent.enrol(server.url, await server.token())
    except (demo_server.ServerFailed, Refused, MembershipError, UnusableKey) as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
    click.echo(_("cloud server: {url}, this machine is enrolled").format(url=server.url), err=True)
    return server, agent


def _show_there(
    loop: asyncio.Runner, server: DemoServer, agent: DemoAgent, report: Report, options: RunOptions
) -> int:
    """Sends the report, says where its page is, and serves it while a person may look."""
    from ots.commands.demo_server import ServerFailed
    from ots.store import StoreError

    try:
        if (reason := agent.send(report)) is not None:
            raise ServerFailed(reason)
        page = loop.run(server.page_of(agent.agent_id, report.report_id))
    except (ServerFailed, StoreError) as error:
        click.echo(_("The report was not sent: {reason}").format(reason=error), err=True)
        return exit_codes.NOT_WRITTEN
    for_people = options.format == "terminal" and not options.nagios
    click.echo(_("On the server's page: {url}").format(url=page), err=not for_people)
    log_in = _("Log in there as {name} with the password {password}")
    click.echo(log_in.format(name=server.name, password=server.password), err=not for_people)
    if for_people and sys.stdin.isatty() and sys.stdout.isatty():
        click.echo(_("The server runs until Ctrl-C."))
        try:
            loop.run(server.process.wait())
        except KeyboardInterrupt:
            return exit_codes.PASS
        click.echo(_("the cloud server has ended"), err=True)
        return exit_codes.INTERNAL
    return exit_codes.PASS
