"""`ots agent install|uninstall`: the agent as a service of systemd."""

from __future__ import annotations

import os
import shutil
import subprocess

import click

from ots.commands import exit_codes
from ots.commands.output import CommandError
from ots.i18n import _

_RUNNING = "/run/systemd/system"


@click.command("install", help=_("Make the agent a service of systemd that starts at boot; needs root."))
@click.option("--user", metavar="NAME", help=_("An account of this machine; else systemd makes one for it."))
@click.option("--print", "print_only", is_flag=True, help=_("Only show the unit."))
def install_command(user: str | None, print_only: bool) -> int:
    from ots.agent import unit
    from ots.config.whole_file import write_whole

    text = unit.text(user)
    if print_only:
        click.echo(text, nl=False)
        return exit_codes.PASS
    _need_root()
    try:
        write_whole(unit.PLACE, text.encode())
        unit.PLACE.chmod(0o644)
    except OSError as error:
        raise CommandError(f"{unit.PLACE}: {error.strerror}", exit_code=exit_codes.NOT_WRITTEN) from None
    click.echo(_("written: {path}").format(path=unit.PLACE))
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", unit.NAME)
    return exit_codes.PASS


@click.command("uninstall", help=_("Stop the service and take it away; reports and schedules stay."))
def uninstall_command() -> int:
    from ots.agent import unit

    _need_root()
    if not unit.PLACE.exists():
        raise CommandError(_("the agent is no service here: {path} is missing").format(path=unit.PLACE))
    _systemctl("disable", "--now", unit.NAME)
    try:
        unit.PLACE.unlink()
    except OSError as error:
        raise CommandError(f"{unit.PLACE}: {error.strerror}", exit_code=exit_codes.NOT_WRITTEN) from None
    click.echo(_("taken away: {path}").format(path=unit.PLACE))
    _systemctl("daemon-reload")
    return exit_codes.PASS


def _need_root() -> None:
    if os.geteuid() != 0:
        raise CommandError(
            _("only root can change the services of this machine"), exit_code=exit_codes.NOT_WRITTEN
        )


def _systemctl(*words: str) -> None:
    """Says what it does and does it; where systemd does not run, only says so."""
    program = shutil.which("systemctl")
    if program is None or not os.path.isdir(_RUNNING):
        click.echo(_("systemd does not run here; left out: systemctl {words}").format(words=" ".join(words)))
        return
    click.echo("systemctl " + " ".join(words))
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(done.stderr.strip() or f"systemctl {words[0]}: {done.returncode}")
