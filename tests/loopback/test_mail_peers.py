"""The mail peers: postfix takes mail in each of its ways, dovecot shows it in each of its own."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import time

import pytest

from tests.peers.dovecot import DOMAIN, PASSWORD, Dovecot
from tests.peers.postfix import Postfix


def _message(subject: str) -> bytes:
    return f"From: a@{DOMAIN}\r\nTo: b@{DOMAIN}\r\nSubject: {subject}\r\n\r\nHello.\r\n".encode()


def _wait_for_mail(dovecot: Dovecot, address: str, folder: str = "INBOX") -> bytes:
    deadline = time.monotonic() + 10
    while not (messages := dovecot.left(address, folder)):
        assert time.monotonic() < deadline, dovecot.log
        time.sleep(0.02)
    return messages[0]


@pytest.mark.parametrize("service", ["smtp", "submission", "smtps"])
def test_postfix_hands_mail_to_dovecot(postfix: Postfix, service: str) -> None:
    """Mail that comes in plain, by submission with STARTTLS or by implicit TLS lies in the mailbox."""
    address = postfix.dovecot.mailbox()
    tls, port = postfix.authority.trusting(), getattr(postfix, service)
    client: smtplib.SMTP
    if service == "smtps":
        client = smtplib.SMTP_SSL("localhost", port, timeout=10, context=tls)
    else:
        client = smtplib.SMTP("localhost", port, timeout=10)
    with client:
        if service == "submission":
            client.starttls(context=tls)
        if service != "smtp":
            client.login(address, PASSWORD)
        client.sendmail(f"a@{DOMAIN}", [address], _message(service))
    assert f"Subject: {service}".encode() in _wait_for_mail(postfix.dovecot, address)


def test_postfix_refuses_what_it_says_it_refuses(postfix: Postfix) -> None:
    """The special recipients have the promised codes; nothing is relayed; no password without TLS."""
    with smtplib.SMTP("127.0.0.1", postfix.smtp, timeout=10) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        for recipient, code in (
            (f"nobody@{DOMAIN}", 550),
            (f"full@{DOMAIN}", 552),
            (f"grey@{DOMAIN}", 450),
            ("somebody@elsewhere.test", 554),
        ):
            client.mail(f"a@{DOMAIN}")
            assert client.rcpt(recipient)[0] == code
            client.rset()
    with smtplib.SMTP("127.0.0.1", postfix.submission, timeout=10) as client:
        client.starttls(context=postfix.authority.trusting())
        with pytest.raises(smtplib.SMTPAuthenticationError) as error:
            client.login(f"a@{DOMAIN}", "wrong")
        assert error.value.smtp_code == 535


def test_junked_mail_lies_in_junk(postfix: Postfix) -> None:
    """One recipient's mail goes into the folder for spam."""
    with smtplib.SMTP("127.0.0.1", postfix.smtp, timeout=10) as client:
        client.sendmail(f"a@{DOMAIN}", [f"junked@{DOMAIN}"], _message("spam"))
    assert b"Subject: spam" in _wait_for_mail(postfix.dovecot, f"junked@{DOMAIN}", "Junk")
    assert not postfix.dovecot.left(f"junked@{DOMAIN}")


@pytest.mark.parametrize("tls", ["plain", "starttls", "implicit"])
def test_dovecot_shows_mail_by_imap_and_pop3(dovecot: Dovecot, tls: str) -> None:
    """A message delivered by LMTP is listed by both protocols, with each kind of TLS; IMAP offers IDLE."""
    address, context = dovecot.mailbox(), dovecot.authority.trusting()
    dovecot.deliver(address, _message("one"), _message("two"))
    imap: imaplib.IMAP4
    pop: poplib.POP3
    if tls == "implicit":
        imap = imaplib.IMAP4_SSL("localhost", dovecot.imaps, ssl_context=context, timeout=10)
        pop = poplib.POP3_SSL("localhost", dovecot.pop3s, context=context, timeout=10)
    else:
        imap = imaplib.IMAP4("localhost", dovecot.imap, timeout=10)
        pop = poplib.POP3("localhost", dovecot.pop3, timeout=10)
    with imap:
        if tls == "starttls":
            imap.starttls(context)
        imap.login(address, PASSWORD)
        assert "IDLE" in imap.capability()[1][0].decode().split()
        assert imap.select("INBOX")[1] == [b"2"]
    if tls == "starttls":
        pop.stls(context)
    pop.user(address)
    pop.pass_(PASSWORD)
    assert pop.stat()[0] == 2
    pop.quit()


def test_dovecot_refuses_a_wrong_password(dovecot: Dovecot) -> None:
    """Only the password of the peers opens a mailbox."""
    with imaplib.IMAP4("127.0.0.1", dovecot.imap, timeout=10) as imap, pytest.raises(imaplib.IMAP4.error):
        imap.login(dovecot.mailbox(), "wrong")
