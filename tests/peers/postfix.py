"""Postfix: a real SMTP server that delivers to dovecot, plain, with STARTTLS and with implicit TLS."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.dovecot import DOMAIN, Dovecot, open_folder
from tests.peers.process import free_port, has_ipv6, running
from tests.peers.require import not_applicable, require

__all__ = ["MESSAGE_LIMIT", "Postfix", "postfix", "postfix_server"]

MESSAGE_LIMIT = 20_000_000

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_protocols = {protocols}
myhostname = mail.{domain}
mydestination =
mynetworks =
alias_maps =
alias_database =
local_transport = error:there are no local users
default_transport = error:mail does not leave this machine
relay_transport = $default_transport
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = static:all
virtual_transport = lmtp:unix:{lmtp}
virtual_alias_maps = inline:{{ {{ junked@{domain} = junked+Junk@{domain} }} }}
propagate_unmatched_extensions =
transport_maps = inline:{{ {{ lost@{domain} = discard: }} }}
recipient_delimiter = +
lmtp_destination_recipient_limit = 1
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_helo_required = yes
smtpd_error_sleep_time = 0
message_size_limit = {limit}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {key}, {chain}
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions =
    check_recipient_access inline:{{
        {{ nobody@{domain} = 550 5.1.1 No such user }},
        {{ full@{domain} = 552 5.2.2 Mailbox is full }},
        {{ grey@{domain} = 450 4.2.0 Greylisted, please come again later }} }}
"""

# No chroot anywhere: it would need copies of system files.
_MASTER = """\
{smtp}
{submission}
{smtps}
cleanup    unix      n  -  n  -     0    cleanup
qmgr       unix      n  -  n  300   1    qmgr
tlsmgr     unix      -  -  n  1000? 1    tlsmgr
rewrite    unix      -  -  n  -     -    trivial-rewrite
bounce     unix      -  -  n  -     0    bounce
defer      unix      -  -  n  -     0    bounce
trace      unix      -  -  n  -     0    bounce
verify     unix      -  -  n  -     1    verify
flush      unix      n  -  n  1000? 0    flush
proxymap   unix      -  -  n  -     -    proxymap
proxywrite unix      -  -  n  -     1    proxymap
pickup     unix      n  -  n  60    1    pickup
showq      unix      n  -  n  -     -    showq
error      unix      -  -  n  -     -    error
retry      unix      -  -  n  -     -    error
discard    unix      -  -  n  -     -    discard
lmtp       unix      -  -  n  -     -    lmtp
anvil      unix      -  -  n  -     1    anvil
postlog    unix-dgram n -  n  -     1    postlogd
"""

_SUBMISSION = (
    " -o smtpd_tls_security_level=encrypt"
    " -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
    " -o smtpd_client_restrictions=permit_sasl_authenticated,reject"
)
_SMTPS = _SUBMISSION.replace("smtpd_tls_security_level=encrypt", "smtpd_tls_wrappermode=yes")


@dataclass(frozen=True)
class Postfix:
    """A postfix on 127.0.0.1 and ::1. Users and passwords are those of `dovecot`, where it delivers.

    `smtp` takes mail for ots.test from anybody, offers STARTTLS and, within TLS, AUTH; `submission` wants
    both; `smtps` begins with TLS and wants AUTH. Mail of more than `MESSAGE_LIMIT` bytes is refused.
    Special recipients of ots.test: `nobody` is refused (550), `full` too (552), `grey` for the time being
    (450), `lost` is accepted and thrown away, `junked` finds its mail in Junk. Mail for other domains is
    refused (554), or bounces if the sender has logged in: it never leaves the machine.
    """

    smtp: int
    submission: int
    smtps: int
    folder: Path
    dovecot: Dovecot
    authority: Authority

    @property
    def log(self) -> str:
        """What postfix logged until now."""
        return (self.folder / "mail.log").read_text(errors="replace")


@contextlib.contextmanager
def postfix_server(folder: Path, authority: Authority, dovecot: Dovecot) -> Iterator[Postfix]:
    """Runs a postfix with everything that it writes inside `folder`, which has to be an open one."""
    binary = require("postfix")
    if os.geteuid() != 0:
        not_applicable("a mail server gives its parts users of their own: needs root")
    smtp, submission, smtps = (free_port() for _ in range(3))
    config = folder / "config"
    for made in (config, folder / "queue", folder / "data"):
        made.mkdir()
    shutil.chown(folder / "data", "postfix")
    (config / "main.cf").write_text(
        _MAIN.format(
            folder=folder,
            protocols="all" if has_ipv6() else "ipv4",
            domain=DOMAIN,
            limit=MESSAGE_LIMIT,
            lmtp=dovecot.lmtp,
            auth=dovecot.auth,
            chain=authority.chain,
            key=authority.key,
        )
    )
    (config / "master.cf").write_text(
        _MASTER.format(
            smtp=_service(smtp, ""),
            submission=_service(submission, _SUBMISSION),
            smtps=_service(smtps, _SMTPS),
        )
    )
    # `postfix start` would leave us without the master's process; this much of it is needed before.
    subprocess.run([binary, "-c", config, "check"], check=True, timeout=20)
    master = subprocess.run(
        ["postconf", "-c", config, "-h", "daemon_directory"], check=True, capture_output=True, text=True
    )
    with running([Path(master.stdout.strip()) / "master", "-c", config, "-d"], port=smtp, folder=folder):
        yield Postfix(smtp, submission, smtps, folder, dovecot, authority)


def _service(port: int, options: str) -> str:
    addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    return "\n".join(f"{address}:{port} inet n - n - - smtpd{options}" for address in addresses)


@pytest.fixture(scope="session")
def postfix(ca: Authority, dovecot: Dovecot) -> Iterator[Postfix]:
    """A postfix for the whole session, in front of its dovecot."""
    with open_folder("postfix") as folder, postfix_server(folder, ca, dovecot) as server:
        yield server
