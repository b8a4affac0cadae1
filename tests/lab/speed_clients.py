"""Foreign clients and our own over one link of a known rate: do they say the same?

`python -m tests.lab.speed_clients`: two network name spaces, a wire of 100 Mbit/s (tbf, both ways) between
them, our test server at the far end. Ends 1 if a client is more than TOLERANCE away from our own probe at the
same server. Needs root, and two minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.netns import Pair, pair
from tests.peers.speed_clients import Rates, librespeed, ndt7, speedtest_mini
from tests.peers.speed_server import served

TOLERANCE = 0.05
RATE = "100mbit"
_PORT = 8080


@dataclass(frozen=True, slots=True)
class Row:
    """Who measured, which way, and how far that is from our own figure (bit/s)."""

    who: str
    way: str
    rate: float
    own: float

    @property
    def off(self) -> float:
        return self.rate / self.own - 1

    def __str__(self) -> str:
        said = "ok" if abs(self.off) <= TOLERANCE else "MISSED"
        return f"{self.who:<24} {self.way:<5} {self.rate / 1e6:8.2f} Mbit/s {self.off:+7.2%}  {said}"


def rows(wire: Pair, told: Callable[[str], None]) -> list[Row]:
    """Our own probe first, then everybody else, one after the other."""
    shaped = ("tc", "qdisc", "add", "dev", "wire", "root", "tbf", "rate", RATE, "burst", "64kb")
    wire.near(*shaped, "limit", "400kb")
    wire.far(*shaped, "limit", "400kb")
    found: list[Row] = []
    listen = ("--listen", f"{wire.far_address}:{_PORT}", "--workers", "1")
    with served(*listen, prefix=wire.far_prefix) as (url, _):
        own = Rates(
            _ots(wire, "http_download", f"{url}/speed/down", "throughput"),
            _ots(wire, "http_upload", f"{url}/speed/up", "throughput"),
        )
        clients: list[tuple[str, Callable[[], Rates]]] = [
            ("ots http_download/upload", lambda: own),
            ("ots speedtest", lambda: _speedtest(wire, url)),
            ("speedtest-cli --mini", lambda: speedtest_mini(url, wire.prefix, chunks=30)),
            ("LibreSpeed's URLs, curl", lambda: librespeed(url, wire.prefix, mebibytes=25)),
            ("ndt7 of M-Lab", lambda: _ndt7(wire, url)),
        ]
        for who, measure in clients:
            rates = measure()
            for row in (Row(who, "down", rates.down, own.down), Row(who, "up", rates.up, own.up)):
                told(str(row))
                found.append(row)
    return found


def _ndt7(wire: Pair, url: str) -> Rates:
    return Rates(ndt7(url, "download", wire.prefix)[0], ndt7(url, "upload", wire.prefix)[0])


def _speedtest(wire: Pair, url: str) -> Rates:
    step = _step(wire, "speedtest", "--server", f"{url}/", "--duration", "6 s")
    return Rates(
        _median(step, "speed_download_bits_per_second"), _median(step, "speed_upload_bits_per_second")
    )


def _ots(wire: Pair, kind: str, url: str, figure: str) -> float:
    step = _step(wire, kind.replace("_", "-"), url, "--duration", "8 s", "--connections", "4")
    return _median(step, f"{kind}_{figure}_bits_per_second")


def _step(wire: Pair, *words: str) -> dict[str, Any]:
    """One step of the whole product at the near end; RuntimeError if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*wire.prefix, sys.executable, "-m", "ots", *words, "--json"],
            env={**os.environ, "OTS_DATA_DIR": folder},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    document = json.loads(done.stdout)
    if "steps" not in document or document["steps"][0]["error"] is not None:
        raise RuntimeError(f"ots {words[0]}: {done.stdout[-600:]}")
    step: dict[str, Any] = document["steps"][0]
    return step


def _median(step: dict[str, Any], key: str) -> float:
    stats = next(metric["stats"] for metric in step["metrics"] if metric["key"] == key)
    return float(stats["median"])


def main() -> int:
    def told(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    with pair("ots-server-near", "ots-server-far", "192.0.2") as wire:
        missed = [row for row in rows(wire, told) if abs(row.off) > TOLERANCE]
    told(f"{len(missed)} rows missed" if missed else f"all within {TOLERANCE:.0%}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
