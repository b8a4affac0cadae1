"""Network namespaces with hosts and routers in them, and ping or trace run inside one. Needs root."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.link import Way, emulator_command
from tests.peers.require import all_required, require

_ROOT = Path(__file__).parent.parent
_NUMBERS = itertools.count()


@dataclass
class PingResult:
    """What `tests.ping_child` printed."""

    document: dict[str, Any]

    def attempt(self, target: str | None = None) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.document["attempts"]
        return found[0] if target is None else next(one for one in found if one["target"] == target)

    def samples(self, key: str, target: str | None = None) -> list[dict[str, Any]]:
        """Every sample of a key as {value, why, labels}."""
        return [
            {"value": value, "why": why, "labels": series["labels"]}
            for series in self.attempt(target)["series"]
            if series["key"] == key
            for value, why in zip(series["v"], series["why"], strict=True)
        ]

    def metric(self, key: str, **labels: str) -> dict[str, Any]:
        (found,) = [
            metric
            for metric in self.document["metrics"]
            if metric["key"] == key and labels.items() <= metric["labels"].items()
        ]
        return dict(found)


@dataclass
class Lab:
    """Namespaces of one test; names carry the process id and a number so that no two labs meet."""

    prefix: str
    names: list[str] = field(default_factory=list)
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def host(self, name: str, *, forward: bool = False) -> str:
        """A namespace with loopback up."""
        full = f"{self.prefix}{name}"
        _ip("netns", "add", full)
        self.names.append(full)
        self.run(name, "ip", "link", "set", "lo", "up")
        # Neighbour discovery's duplicate check would hold an address back for seconds.
        self.sysctl(name, "net.ipv6.conf.default.accept_dad", "0")
        if forward:
            self.sysctl(name, "net.ipv4.ip_forward", "1")
            self.sysctl(name, "net.ipv6.conf.all.forwarding", "1")
        return full

    def wire(self, one: str, address: str, other: str, other_address: str) -> None:
        """A veth pair `to-OTHER` <-> `to-ONE` with an address (and prefix) at each end."""
        _ip(
            *("link", "add", f"to-{other}", "netns", f"{self.prefix}{one}", "type", "veth"),
            *("peer", "name", f"to-{one}", "netns", f"{self.prefix}{other}"),
        )
        for here, there, own in ((one, other, address), (other, one, other_address)):
            self.run(here, "ip", "address", "add", own, "dev", f"to-{there}")
            self.run(here, "ip", "link", "set", f"to-{there}", "up")

    def slow_wire(
        self, one: str, address: str, other: str, other_address: str, *, delay: float, lose: int = 0
    ) -> None:
        """A link like `wire`, `delay` seconds long, on which every `lose`-th packet from `one` is lost."""
        require("gcc")
        ends = (f"{self.prefix}{one}", f"to-{other}"), (f"{self.prefix}{other}", f"to-{one}")
        self._start(emulator_command(*ends, Way(delay=delay, loss=lose), Way(delay=delay)))
        for here, there, own in ((one, other, address), (other, one, other_address)):
            self.run(here, "ip", "address", "add", own, "dev", f"to-{there}")
            self.run(here, "ip", "link", "set", f"to-{there}", "up")

    def sysctl(self, name: str, key: str, value: str) -> None:
        self.run(name, "sh", "-c", f'echo "{value}" > /proc/sys/{key.replace(".", "/")}')

    def run(self, name: str, *command: str, path: str | None = None) -> str:
        """Runs a command in a namespace to its end and returns its output; `path` replaces PATH."""
        done = subprocess.run(
            [*self.inside(name), *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=_ROOT,
            env=os.environ if path is None else {**os.environ, "PATH": path},
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def inside(self, name: str) -> list[str]:
        return [require("ip"), "netns", "exec", f"{self.prefix}{name}"]

    def ots(self, name: str, home: Path, *arguments: str, user: int | None = None) -> subprocess.Popen[str]:
        """Starts `ots` in a namespace with a home of its own; whoever starts it waits for it."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTS_", "XDG_"))}
        drop = [] if user is None else [require("setpriv"), f"--reuid={user}", "--bounding-set=-all"]
        child = subprocess.Popen(
            [*self.inside(name), *drop, sys.executable, "-m", "ots", *arguments],
            cwd=_ROOT,
            env={**kept, "HOME": str(home), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def responder(self, name: str, mode: str, *arguments: str) -> None:
        """Starts tests.ping_responder where the kernel then stays silent, and waits until it listens."""
        self.sysctl(name, "net.ipv4.icmp_echo_ignore_all", "1")
        self._start([*self.inside(name), sys.executable, "-m", "tests.ping_responder", mode, *arguments])

    def forger(self, name: str, mode: str, device: str) -> None:
        """Starts tests.hop_forger on a device of a router, and waits until it listens."""
        self._start([*self.inside(name), sys.executable, "-m", "tests.hop_forger", mode, device])

    def flow_reader(self, name: str, device: str) -> subprocess.Popen[str]:
        """Starts tests.flow_reader on a device; its output is what arrived there."""
        self._start([*self.inside(name), sys.executable, "-m", "tests.flow_reader", device])
        return self.children[-1]

    def _start(self, command: Sequence[str]) -> None:
        """Starts a program that says when it is ready, and waits for that."""
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
        self.children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

    def ping(
        self,
        name: str,
        targets: Sequence[str] | str,
        *,
        user: int | None = None,
        path: str | None = None,
        **spec: Any,
    ) -> PingResult:
        """The probe's result, run in a namespace, as root or as another user without any right."""
        wanted = {"targets": [targets] if isinstance(targets, str) else list(targets), **spec}
        return self.all_of(name, [wanted], user=user, path=path)[0]

    def all_of(
        self,
        name: str,
        runs: Sequence[dict[str, Any]],
        *,
        user: int | None = None,
        path: str | None = None,
    ) -> list[PingResult]:
        """Several runs at the same time in one process."""
        drop = []
        if user is not None:
            drop = [
                require("setpriv"),
                f"--reuid={user}",
                f"--regid={user}",
                "--clear-groups",
                "--bounding-set=-all",
            ]
        child = [sys.executable, "-W", "error", "-m", "tests.ping_child", json.dumps(list(runs))]
        out = self.run(name, *drop, *child, path=path)
        return [PingResult(document) for document in json.loads(out)]

    def trace(self, name: str, target: str, **spec: Any) -> PingResult:
        """The result of the trace probe, run as `ping` is."""
        return self.ping(name, target, probe="trace", **spec)

    def traces(self, name: str, runs: Sequence[Any], *, user: int | None = None) -> list[PingResult]:
        """Results of several traces at the same time, each of a target and what differs from the defaults."""
        return self.all_of(
            name, [{"probe": "trace", "targets": [target], **spec} for target, spec in runs], user=user
        )

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.communicate()
        for name in self.names:
            subprocess.run([require("ip"), "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def lab() -> Iterator[Lab]:
    """A lab that is gone afterwards; skips where there is no right to make namespaces."""
    require("ip")
    if os.geteuid() != 0:
        if all_required():
            pytest.fail("missing: root, for network namespaces", pytrace=False)
        pytest.skip("missing: root, for network namespaces")
    made = Lab(f"otsp{os.getpid()}-{next(_NUMBERS)}-")
    try:
        yield made
    finally:
        made.close()


def _ip(*arguments: str) -> None:
    done = subprocess.run([require("ip"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
