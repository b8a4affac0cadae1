"""What `ots doctor` looks at, one function for each subject. Nothing leaves the machine unasked."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ots.i18n import _
from ots.units import display

State = Literal["ok", "warn", "fail"]

_LITTLE_SPACE, _NO_SPACE = 1e9, 50e6
"""Bytes free on the disk of the data folder below which we warn, and below which we fail."""

_FEW_FILES = 1024
_NARROW = 60
_LOOKUP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a subject, how it is, in words, and what to do about it."""

    subject: str
    state: State
    text: str
    remedy: str | None = None


def checkup(*, online: bool) -> Iterator[Finding]:
    """All findings in the order of a person's interest. `online` also asks the name servers something."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        settings,
        store,
        clock,
        addresses,
        names,
        icmp,
        limits,
        ceilings,
        terminal,
    ]
    if online:
        checks.append(lookup)
    for check in [*checks, probes]:
        yield from check()


def settings() -> Iterator[Finding]:
    from ots.config import SettingsError
    from ots.config import settings as load
    from ots.config.place import settings_files

    subject = _("settings")
    try:
        load()
    except SettingsError as error:
        yield Finding(subject, "fail", str(error), error.remedy)
        return
    read = [str(path) for path in settings_files() if path.is_file()]
    yield Finding(subject, "ok", ", ".join(read) or _("no settings file: all defaults"))


def store() -> Iterator[Finding]:
    from ots.config import SettingsError, data_dir
    from ots.store import Store, StoreError

    subject = _("reports")
    try:
        folder = data_dir()
        with Store.open(folder) as opened:
            running = sum(entry.running for entry in opened.list())
    except SettingsError:
        return
    except StoreError as error:
        yield Finding(subject, "fail", str(error), error.remedy)
        return
    free = shutil.disk_usage(folder).free
    text = _("{folder}, {free} free").format(folder=folder, free=display(free, "By"))
    if running:
        text += ", " + _("{n} running").format(n=running)
    if free < _NO_SPACE:
        yield Finding(subject, "fail", text, _("free some space: no report can be written"))
    elif free < _LITTLE_SPACE:
        yield Finding(subject, "warn", text, _("free some space, or lower retention.max_size"))
    else:
        yield Finding(subject, "ok", text)
    kept = sorted(path.name for path in folder.glob("store.damaged-*.sqlite3"))
    if kept:
        yield Finding(
            subject,
            "warn",
            _("a damaged store was replaced and is kept: {names}").format(names=", ".join(kept)),
            _("delete the file when its reports are not missed"),
        )


def clock() -> Iterator[Finding]:
    from ots.netio.attachment.clock_trust import clock_trust

    record = clock_trust()
    subject = _("clock")
    if record["source"] == "none":
        yield Finding(
            subject,
            "warn",
            _("not synchronised: times in reports may be wrong (durations are not affected)"),
            _("start a time service, such as systemd-timesyncd or chrony"),
        )
    else:
        bound = display(record["error_bound_seconds"], "s")
        yield Finding(subject, "ok", _("synchronised, ±{bound}").format(bound=bound))


def addresses() -> Iterator[Finding]:
    from ots.netio.attachment.routing import default_way

    ways = {family: default_way(family) for family in ("4", "6")}
    for family, way in ways.items():
        if way is None:
            alone = all(other is None for other in ways.values())
            remedy = _("only targets on this machine and its own links can be reached: ots link")
            yield Finding(
                f"IPv{family}", "warn" if alone else "ok", _("no way out"), remedy if alone else None
            )
        else:
            via = f" {_('gateway')} {way.gateway}" if way.gateway else ""
            yield Finding(f"IPv{family}", "ok", f"{way.source or '?'} {_('via')} {way.interface}{via}")


def names() -> Iterator[Finding]:
    from ots.netio.dns.servers import name_servers

    servers = name_servers()
    subject = _("DNS")
    try:
        socket.getaddrinfo("localhost", None)
    except OSError as error:
        yield Finding(
            subject,
            "warn",
            _("localhost does not resolve: {reason}").format(reason=error.strerror),
            _("write `127.0.0.1 localhost` into /etc/hosts"),
        )
    if servers:
        yield Finding(subject, "ok", ", ".join(servers))
    else:
        yield Finding(subject, "warn", _("no name server is configured"), _("name one in /etc/resolv.conf"))


def lookup() -> Iterator[Finding]:
    """Asks every configured server for the root's name servers, a question that each can answer."""
    import dns.exception
    import dns.message
    import dns.query

    from ots.netio.dns.servers import name_servers

    for server in name_servers():
        subject = f"DNS {server}"
        try:
            answer = dns.query.udp(dns.message.make_query(".", "NS"), server, timeout=_LOOKUP_SECONDS)
        except (dns.exception.DNSException, OSError) as error:
            yield Finding(
                subject,
                "fail",
                _("no answer: {reason}").format(reason=str(error) or type(error).__name__),
                _("check the server's address and the way to it: ots link"),
            )
        else:
            yield Finding(subject, "ok", _("answers ({n} records)").format(n=sum(map(len, answer.answer))))


def icmp() -> Iterator[Finding]:
    """Which of ping's three ways are open to this user."""
    raw, datagram = _opens(socket.SOCK_RAW), _opens(socket.SOCK_DGRAM)
    ways = {
        _("raw socket"): raw,
        _("datagram socket"): datagram,
        _("the system's ping"): _ping_program(needs_rights=raw is not None and datagram is not None),
    }
    open_ways = [name for name, closed in ways.items() if closed is None]
    subject = "ICMP"
    if open_ways:
        yield Finding(subject, "ok", ", ".join(open_ways))
        return
    why = ", ".join(f"{name}: {closed}" for name, closed in ways.items())
    yield Finding(
        subject,
        "warn",
        why,
        _("as root: sysctl -w net.ipv4.ping_group_range='0 2147483647', or install the program ping"),
    )


def limits() -> Iterator[Finding]:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    subject = _("open files")
    if 0 <= soft < _FEW_FILES:
        yield Finding(
            subject,
            "warn",
            _("at most {n}").format(n=soft),
            _("ulimit -n 4096 before tests with many connections"),
        )
    else:
        yield Finding(subject, "ok", _("at most {n}").format(n=soft))


def ceilings() -> Iterator[Finding]:
    """What a transfer reaches here at most, if somebody has measured it."""
    from ots.config import SettingsError, data_dir
    from ots.session.calibration import load

    subject = _("own limit")
    again = "ots doctor --calibrate"
    try:
        found = load(data_dir())
    except SettingsError:
        return
    if found is None:
        yield Finding(subject, "ok", _("not measured: {command}").format(command=again))
    elif not found.valid:
        text = _("measured {when} on another kernel, Python or OTS, and not used").format(when=found.made)
        yield Finding(subject, "warn", text, again)
    else:
        for tls, name in ((False, "HTTP"), (True, "HTTPS")):
            rates = [
                found.ceilings.of(f"http_{way}", tls=tls, connections=1) for way in ("download", "upload")
            ]
            shown = " / ".join("?" if rate is None else display(rate, "bit/s") for rate in rates)
            yield Finding(subject, "ok", _("{name} down / up: {rates}").format(name=name, rates=shown))


def terminal() -> Iterator[Finding]:
    encoding = (sys.stdout.encoding or "ascii").lower()
    subject = _("terminal")
    if "utf" not in encoding:
        yield Finding(
            subject,
            "warn",
            _("encoding {name}: marks and Chinese can't be shown").format(name=encoding),
            _("export LANG=C.UTF-8"),
        )
        return
    columns = shutil.get_terminal_size((100, 24)).columns
    if columns < _NARROW:
        yield Finding(subject, "warn", _("{n} columns").format(n=columns), _("make it wider for tables"))
    else:
        yield Finding(subject, "ok", _("{encoding}, {n} columns").format(encoding=encoding, n=columns))


def probes() -> Iterator[Finding]:
    """Every probe with what it lacks here; one that can't be loaded is named with its reason."""
    from ots.registry import kinds

    known = kinds()
    for probe in known.usable():
        lacking = [(needed, needed.missing()) for needed in probe.requires]
        missing = [(needed, why) for needed, why in lacking if why is not None]
        for needed, why in missing:
            yield Finding(probe.kind, "warn", f"{needed.name}: {why}", _(needed.remedy))
        if not missing:
            yield Finding(probe.kind, "ok", _("can run"))
    for kind, reason in known.broken().items():
        yield Finding(kind, "fail", reason, _("repair or uninstall the distribution it comes from"))


def _ping_program(*, needs_rights: bool) -> str | None:
    """Why the system's ping can't be used, None if it can."""
    from ots.netio.icmp.sockets import gains_rights

    program = shutil.which("ping")
    if program is None:
        return _("not installed")
    return _("no right") if needs_rights and not gains_rights(program) else None


def _opens(kind: socket.SocketKind) -> str | None:
    """Why an ICMP socket of this kind can't be opened, None if it can."""
    try:
        socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return _("no right")
        return os.strerror(error.errno or 0)
    return None
