"""The machine's own ceiling: measured, kept, compared with, and forgotten where the machine has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ots.server.peers.process import Peers
from ots.session import calibration
from ots.stats.ceiling import Ceilings, key
from tests.command_line import CommandLine
from tests.peers.nginx import Nginx

SLOW = 8 * 250 * 1024


def test_kept_and_read_again(tmp_path: Path) -> None:
    """What was stored is there for one connection and for several, and nothing is said of what is not."""
    calibration.store(tmp_path / "new", {key("http_download", tls=False, several=True): 2e9})
    found = calibration.ceilings(tmp_path / "new")
    assert found.of("http_download", tls=False, connections=4) == 2e9
    assert found.of("http_download", tls=False, connections=1) is None
    assert found.of("http_download", tls=True, connections=4) is None
    assert [path.name for path in (tmp_path / "new").iterdir()] == [calibration.FILE]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"bits_per_second": {"a": "b"}}', '{"machine": 1, "made": 2}']
)
def test_a_file_that_is_none_is_no_calibration(tmp_path: Path, content: str) -> None:
    """Half written, or somebody else's."""
    (tmp_path / calibration.FILE).write_text(content)
    assert calibration.load(tmp_path) is None
    assert calibration.ceilings(tmp_path) == Ceilings()


def test_another_machine_has_another_ceiling(tmp_path: Path) -> None:
    """After a new kernel, Python or OTS the old figures are shown as old, and not compared with."""
    calibration.store(tmp_path, {key("http_upload", tls=False, several=False): 1e9})
    document = json.loads((tmp_path / calibration.FILE).read_text())
    document["machine"]["kernel"] = "0.1"
    (tmp_path / calibration.FILE).write_text(json.dumps(document))
    found = calibration.load(tmp_path)
    assert found is not None and not found.valid
    assert calibration.ceilings(tmp_path) == Ceilings()


@pytest.mark.parametrize(("ceiling", "near"), [(1.5 * SLOW, True), (10 * SLOW, False)], ids=["near", "far"])
def test_a_result_near_the_ceiling_is_the_probes_own(
    tmp_path: Path, nginx: Nginx, ceiling: float, near: bool
) -> None:
    """More than half of it: `probe_limited`; the ceiling stands in the method either way."""
    ots = CommandLine(tmp_path)
    calibration.store(tmp_path / "data", {key("http_download", tls=False, several=False): ceiling})
    report = ots.json("http-download", f"{nginx.url}/slow/1m", "--duration", "1 s")
    (rate,) = [
        metric
        for metric in report["steps"][0]["metrics"]
        if metric["key"] == "http_download_throughput_bits_per_second"
    ]
    assert rate["method"]["ceiling_bits_per_second"] == ceiling
    assert ("probe_limited" in rate["quality_flags"]) is near


async def test_every_combination_is_measured(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain and TLS, down and up, HTTP and FTP, one connection and several, against our own server."""
    monkeypatch.setattr(calibration, "SECONDS", 0.2)
    found: dict[str, Any] = {}
    async for name, rate in calibration.measure(peers.variables()):
        found[name] = rate
    kinds = ("http_download", "http_upload", "ftp_download", "ftp_upload")
    wanted = {key(kind, tls=False, several=several) for kind in kinds for several in (False, True)}
    wanted |= {key(kind, tls=True, several=several) for kind in kinds[:2] for several in (False, True)}
    assert set(found) == wanted
    assert all(rate is not None and rate > 1e7 for rate in found.values()), found
