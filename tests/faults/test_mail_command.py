"""Mail that goes wrong, through the command line: exit codes, and reports that are valid all the same."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ots.schema.report import report_schema
from tests.command_line import CommandLine
from tests.faults.lying_smtp import Session, lying_smtp, reply, silence
from tests.peers.authority import Authority
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.peers.postfix import Postfix
from tests.waiting import until

_NOTHING_COMES = ("--window", "300 ms", "--settle", "0 s", "--interval", "100 ms")


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    """`ots` with a home of its own."""
    return CommandLine(tmp_path)


async def report_of(ots: CommandLine, *arguments: str, code: int, **environment: str) -> Any:
    """The report of a run with this exit code: valid by its schema, and without any of the passwords."""
    done = await asyncio.to_thread(ots.run, *arguments, "--json", env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return checked(done.stdout, *environment.values())


def checked(text: str, *secrets: str) -> Any:
    report = json.loads(text)
    jsonschema.Draft202012Validator(report_schema()).validate(report)
    assert not [secret for secret in secrets if secret in text]
    return report


def fault(report: Any) -> tuple[str, str, str]:
    error = report["steps"][0]["error"]
    return error["class"], error["phase"], error["code"]


async def test_wrong_password(ots: CommandLine, postfix: Postfix, ca: Authority) -> None:
    """A failure of the service: exit 1."""
    url = f"smtps://me@127.0.0.1:{postfix.smtps}"
    login = ("--user", "me@ots.test", "--password-from", "env:MAIL", "--ca-file", str(ca.root))
    report = await report_of(
        ots, "mail-send", url, "--recipient", "x@ots.test", *login, code=1, MAIL="not the password"
    )
    assert fault(report) == ("auth", "login", "535")
    assert (report["verdict"], report["steps"][0]["outcome"]) == ("fail", "failure")


async def test_a_contradiction(ots: CommandLine) -> None:
    """Ours, not the network's: exit 3, and the attempt counts in no ratio."""
    report = await report_of(
        ots,
        *("mail-send", "smtp://127.0.0.1:1", "--recipient", "x@ots.test", "--tls", "none"),
        *("--user", "me", "--password-from", "env:MAIL"),
        code=3,
        MAIL="a password",
    )
    assert fault(report) == ("config", "config", "UNENCRYPTED_LOGIN")
    assert report["steps"][0]["outcome"] == "invalid"


def test_an_address_with_a_command_in_it(ots: CommandLine) -> None:
    """Refused before anything runs: exit 2."""
    done = ots.run("mail-send", "smtp://127.0.0.1:1", "--recipient", "x@ots.test>\r\nDATA")
    assert done.returncode == 2
    assert "recipient" in done.stderr


async def test_never_arrives(ots: CommandLine, postfix: Postfix, ca: Authority) -> None:
    """Exit 1; the sending stands, the delivery failed."""
    dovecot = postfix.dovecot
    report = await report_of(
        ots,
        *("mail-delivery", f"smtp://127.0.0.1:{postfix.smtp}", "--recipient", "lost@ots.test"),
        *("--mailbox", f"imaps://127.0.0.1:{dovecot.imaps}", "--mailbox-password-from", "env:MAIL"),
        *("--ca-file", str(ca.root), *_NOTHING_COMES),
        code=1,
        MAIL=PASSWORD,
    )
    assert fault(report) == ("loss", "delivery", "NOT_SEEN")
    figures = {metric["key"]: metric["stats"] for metric in report["steps"][0]["metrics"]}
    assert figures["mail_end_to_end_failure_ratio"]["value"] == 1
    assert figures["smtp_session_failure_ratio"]["value"] == 0
    assert figures["mail_end_to_end_seconds"]["median"] is None


async def test_greylisted_and_then_taken(ots: CommandLine, tmp_path: Path) -> None:
    """The first attempt is refused for now, the second is taken: both are kept, and the case passes."""
    async with lying_smtp({"RCPT": reply("450 4.2.0 greylisted", "250 ok")}) as server:
        (tmp_path / "grey.yaml").write_text(
            f"""
ots: 1
id: grey
version: 1
steps:
  - id: send
    probe: mail_send
    target: {server.url}
    params: {{recipient: x@ots.test}}
    repeat: 2
    pause: 100 ms
    require_success: any
    thresholds:
      - {{metric: smtp_session_time_seconds, stat: max, fail: "< 10 s"}}
"""
        )
        report = await report_of(ots, "run", str(tmp_path / "grey.yaml"), code=0)
    first, second = report["steps"][0]["attempts"]
    assert (first["error"]["class"], first["error"]["code"]) == ("rejected", "450")
    assert first["error"]["retryable"] is True
    assert second["error"] is None
    assert report["verdict"] == "pass"


async def test_interrupted(ots: CommandLine) -> None:
    """In the middle of a session: it hangs up, and the report is there."""
    async with lying_smtp({"MAIL": silence}) as server:
        process = ots.begin("mail-send", server.url, "--recipient", "x@ots.test", "--json")
        try:
            await until(lambda: "MAIL" in server.asked)
            process.send_signal(signal.SIGINT)
            out, _ = await asyncio.to_thread(process.communicate, timeout=20)
        finally:
            process.kill()
            process.wait()
        await server.empty()
    assert process.returncode == 130
    assert checked(out)["run"]["state"] == "aborted"


async def test_interrupted_after_acceptance(ots: CommandLine, dovecot: Dovecot) -> None:
    """What was accepted and has arrived meanwhile is deleted before the program ends."""
    recipient = dovecot.mailbox()
    accepted = asyncio.Event()

    async def act(session: Session) -> None:
        await session.data()
        await session.say("250 taken")
        accepted.set()

    async with lying_smtp({"DATA": act}) as server:
        (ots.folder / "secret").write_text(PASSWORD)
        (ots.folder / "secret").chmod(0o600)
        process = ots.begin(
            *("mail-delivery", server.url, "--recipient", recipient, "--json", "--window", "30 s"),
            *("--mailbox", f"imaps://127.0.0.1:{dovecot.imaps}", "--ca-file", str(dovecot.authority.root)),
            *("--mailbox-password-from", f"file:{ots.folder / 'secret'}"),
        )
        try:
            await asyncio.wait_for(accepted.wait(), 20)
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(dovecot.deliver, recipient, server.taken[0])
            out, _ = await asyncio.to_thread(process.communicate, timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    report = checked(out, PASSWORD)
    assert report["run"]["state"] == "aborted"
    assert dovecot.left(recipient) == []
