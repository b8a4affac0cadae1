"""Dovecot: a real IMAP and POP3 server, plain, with STARTTLS and with implicit TLS; mail comes in by LMTP."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import smtplib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.process import free_port, has_ipv6, running
from tests.peers.require import not_applicable, require

__all__ = ["DOMAIN", "PASSWORD", "Dovecot", "dovecot", "dovecot_server", "open_folder"]

DOMAIN = "ots.test"
PASSWORD = "mail-pass-w0rd"

_NOBODY = 65534
"""Who owns the mail: it needs a numeric user that is not root, and no account."""

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = {listen}
protocols = imap pop3 lmtp
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_default_realm = {domain}
auth_failure_delay = 0
mail_location = maildir:~/Maildir
mail_uid = {owner}
mail_gid = {owner}
mail_max_userip_connections = 100
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={folder}/mail/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
  mailbox Trash {{
    auto = create
    special_use = \\Trash
  }}
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
# No waiting time that grows with every wrong password from one address.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """A dovecot on 127.0.0.1 and ::1; `imap` and `pop3` offer STARTTLS, `imaps` and `pop3s` begin with TLS.

    Every name of `ots.test` is a mailbox with folders INBOX, Junk, Trash and Sent, and `PASSWORD` opens it; a
    name without domain logs in as well. Mail to `name+Junk@ots.test` goes straight into that folder. `lmtp`
    and `auth` are Unix sockets, for whoever delivers mail and checks passwords against it.
    """

    imap: int
    imaps: int
    pop3: int
    pop3s: int
    folder: Path
    authority: Authority
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def lmtp(self) -> Path:
        return self.folder / "lmtp"

    @property
    def auth(self) -> Path:
        return self.folder / "auth"

    @property
    def log(self) -> str:
        """What dovecot logged until now."""
        return (self.folder / "dovecot.log").read_text(errors="replace")

    def mailbox(self) -> str:
        """The address of a mailbox that nobody has used yet."""
        return f"user{next(self._numbers)}@{DOMAIN}"

    def deliver(self, address: str, *messages: bytes) -> None:
        """Puts messages into a mailbox, whole and in this order; they are there when it returns."""
        with smtplib.LMTP(str(self.lmtp)) as client:
            for message in messages:
                client.sendmail(f"sender@{DOMAIN}", [address], message)

    def left(self, address: str, folder: str = "INBOX") -> list[bytes]:
        """The messages that lie in a folder of a mailbox, read from its files."""
        return [path.read_bytes() for path in self._files(address, folder)]

    def names(self, address: str, folder: str = "INBOX") -> list[str]:
        """The names of those files, which hold what marks the messages have (`new/…`: not even seen)."""
        return [f"{path.parent.name}/{path.name}" for path in self._files(address, folder)]

    def _files(self, address: str, folder: str) -> list[Path]:
        maildir = self.folder / "mail" / address.partition("@")[0] / "Maildir"
        if folder != "INBOX":
            maildir /= f".{folder}"
        files = [path for part in ("new", "cur") for path in (maildir / part).glob("*")]
        return sorted(files, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)[:2]])


@contextlib.contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """A folder that servers may enter after they gave up being root; pytest's own are root's alone.

    Its path is short, for it has to hold Unix sockets.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"ots-{name}-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def dovecot_server(folder: Path, authority: Authority) -> Iterator[Dovecot]:
    """Runs a dovecot with everything that it writes inside `folder`, which has to be an open one."""
    binary = require("dovecot")
    require("dovecot-pop3")
    require("dovecot-lmtp")
    if os.geteuid() != 0:
        not_applicable("a mail server gives its parts users of their own: needs root")
    imap, imaps, pop3, pop3s = (free_port() for _ in range(4))
    mail = folder / "mail"
    mail.mkdir()
    os.chown(mail, _NOBODY, _NOBODY)
    config = folder / "dovecot.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            listen="127.0.0.1, ::1" if has_ipv6() else "127.0.0.1",
            chain=authority.chain,
            key=authority.key,
            domain=DOMAIN,
            password=PASSWORD,
            owner=_NOBODY,
            imap=imap,
            imaps=imaps,
            pop3=pop3,
            pop3s=pop3s,
        )
    )
    with running([binary, "-F", "-c", config], port=imap, folder=folder):
        yield Dovecot(imap, imaps, pop3, pop3s, folder, authority)


@pytest.fixture(scope="session")
def dovecot(ca: Authority) -> Iterator[Dovecot]:
    """A dovecot for the whole session; take a mailbox of your own with `mailbox()`."""
    with open_folder("dovecot") as folder, dovecot_server(folder, ca) as server:
        yield server
