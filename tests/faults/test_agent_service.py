"""The service under a real systemd, which is process 1 of namespaces of its own: it starts, says that it is
ready, measures without root, and comes back after kill -9."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ots.agent import unit

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/usr/lib/systemd/systemd")

BEGIN = """set -e
mount --make-rprivate /
for place in /run /var/lib /etc/systemd/system /etc/ots; do mkdir -p $place; mount -t tmpfs none $place; done
mkdir -p /run/systemd/system /run/python /run/code /run/site /etc/ots/schedules /etc/ots/cases
mount --bind {python} /run/python
mount --bind {code} /run/code
mount --bind {site} /run/site
cp {folder}/*.service {folder}/only.target /run/systemd/system/
cp {folder}/home.yaml /etc/ots/schedules/
cp {folder}/quiet.yaml /etc/ots/cases/
export container=ots-test
exec {systemd} --system --unit=only.target --log-target=null --show-status=false
"""
TARGET = "[Unit]\nDefaultDependencies=no\nWants=ots-agent.service\n"
SCHEDULE = "case: quiet\nschedule: {every: 10 s, spread: 0 s}\n"
CASE = """ots: 1
id: quiet
steps:
  - {id: rtt, probe: ping, target: 127.0.0.1, params: {count: 3, interval: 100 ms}}
"""


class Machine:
    """The namespaces of one systemd."""

    def __init__(self, unshare: subprocess.Popen[bytes]) -> None:
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        deadline = time.monotonic() + 10
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.first = found[0]

    def call(self, *words: str) -> str:
        inside = ["nsenter", "-t", self.first, "-m", "-p", "-n", *words]
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=30).stdout

    def show(self) -> dict[str, str]:
        names = "ActiveState,MainPID,NRestarts,StatusText,User"
        said = self.call("systemctl", "show", unit.NAME, "-p", names)
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def wait(self, **wanted: str) -> dict[str, str]:
        deadline = time.monotonic() + 40
        while True:
            found = self.show()
            if all(found.get(name) == value for name, value in wanted.items()):
                return found
            assert time.monotonic() < deadline, (found, self.call("systemctl", "status", unit.NAME))
            time.sleep(0.2)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("nsenter") is None:
        pytest.skip("needs root and systemd")
    python = Path(sys.base_prefix)
    text = unit.text(ots=f"/run/python/bin/{Path(sys.executable).resolve().name} -m ots")
    # The service sees neither /tmp nor anybody's home, where this checkout may lie.
    paths = "/run/code:/run/site"
    text = text.replace(
        "[Service]",
        f"[Service]\nEnvironment=LD_LIBRARY_PATH=/run/python/lib PYTHONPATH={paths}",
    )
    (tmp_path / unit.NAME).write_text(text.replace("[Unit]", "[Unit]\nDefaultDependencies=no"))
    (tmp_path / "only.target").write_text(TARGET)
    (tmp_path / "home.yaml").write_text(SCHEDULE)
    (tmp_path / "quiet.yaml").write_text(CASE)
    places = {"python": python, "code": ROOT, "site": sysconfig.get_path("purelib")}
    begin = BEGIN.format(folder=tmp_path, systemd=SYSTEMD, **places)
    ways = [
        "--pid",
        "--mount",
        "--cgroup",
        "--uts",
        "--ipc",
        "--net",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    with subprocess.Popen(
        ["unshare", *ways, "bash", "-c", begin], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as unshare:
        try:
            found = Machine(unshare)
            found.call("ip", "link", "set", "lo", "up")
            yield found
        finally:
            unshare.kill()


@pytest.mark.netns
def test_the_service_starts_measures_without_root_and_comes_back(machine: Machine) -> None:
    before = machine.wait(ActiveState="active", StatusText="1 schedules, 0 running")
    owner = machine.call("stat", "-c", "%u", f"/proc/{before['MainPID']}").strip()
    assert int(owner) >= 61184  # systemd's range for users that last as long as their service
    deadline = time.monotonic() + 30
    while "('completed', 'measured')" not in (stored := _states(machine)):
        assert time.monotonic() < deadline, stored
        time.sleep(0.3)
    machine.call("kill", "-9", before["MainPID"])
    after = machine.wait(ActiveState="active", NRestarts="1")
    assert after["MainPID"] not in ("0", before["MainPID"])
    machine.call("systemctl", "stop", unit.NAME)
    assert machine.show()["ActiveState"] == "inactive"


def _states(machine: Machine) -> str:
    question = (
        "import sqlite3; print(sqlite3.connect('file:/var/lib/private/ots/store.sqlite3?mode=ro', uri=True)"
        ".execute('select state, verdict from report').fetchall())"
    )
    return machine.call(sys.executable, "-c", question)
