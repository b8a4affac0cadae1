"""`ots demo`: real measurements against real servers, all on this machine, in a minute."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import click

from ots.commands import exit_codes
from ots.commands.case_errors import case_errors
from ots.commands.output import CommandError
from ots.commands.run_options import gather, run_options
from ots.i18n import _


@click.command("demo", help=_("Start test peers on loopback, measure against them, write the HTML report."))
@run_options
def command(**rest: Any) -> int:
    options = gather(**rest)
    from ots.commands.run import run_and_show
    from ots.server.peers.process import PeersFailed, started
    from ots.session.prepare import prepare

    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        try:
            peers = loop.run(stack.enter_async_context(started()))
        except PeersFailed as error:
            raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
        try:
            click.echo(_("test peers: {peers}").format(peers=", ".join(peers.describe())), err=True)
            with case_errors():
                plan = prepare("demo", peers.variables())
            return run_and_show(plan, options)
        finally:
            loop.run(stack.aclose())
