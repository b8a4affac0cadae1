"""`ots server`: what serves others."""

from __future__ import annotations

import click

from ots.commands.server_backup import backup_command, restore_command
from ots.commands.server_content import content_group
from ots.commands.server_keys import keys_group
from ots.commands.server_peers import peers_command
from ots.commands.server_probe import probe_command
from ots.commands.server_run import run_command
from ots.commands.server_token import token_group
from ots.commands.server_user import user_group
from ots.i18n import _

_EXAMPLES = """\b
Examples:
  ots server run
  ots server token create --department 571 --project HZ-12
  ots server user password admin
  ots server backup /srv/backups
  ots server peers --listen 192.0.2.7:8080 --workers 4
"""


@click.group(
    "server", help=_("What serves others: the cloud server and the test server.") + "\n\n" + _EXAMPLES
)
def command() -> None:
    pass


command.add_command(run_command)
command.add_command(token_group)
command.add_command(content_group)
command.add_command(user_group)
command.add_command(backup_command)
command.add_command(restore_command)
command.add_command(keys_group)
command.add_command(peers_command)
command.add_command(probe_command)
