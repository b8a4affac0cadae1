"""A Speedtest Mini server measured by OTS's engine, by speedtest-cli, and its largest picture by curl.

The server is nginx with what a Mini server has, sparse files on a tmpfs. Each contender says its own rate;
that of speedtest-cli holds the set-up of its many requests, as the program means it to.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.child import run
from bench.contest import OURS, Contender, Contest, Goal, Reading
from tests.peers.authority import founded
from tests.peers.nginx import nginx_server

_CLI = "speedtest-cli"
_PICTURES = 64
_SECONDS = 2

_CLI_SCRIPT = """
import contextlib, io, json, sys, time
from ots.netio.speed import cli_child
order = {"url": sys.argv[1], "source": None, "timeout": 5, "duration": int(sys.argv[2]), "connections": 8}
sys.stdin, said = io.StringIO(json.dumps(order) + "\\ndownload\\n"), io.StringIO()
start = time.process_time()
with contextlib.redirect_stdout(said):
    cli_child.main()
last = json.loads(said.getvalue().splitlines()[-1])
print(last["bytes"], last["done"], time.process_time() - start)
"""


_SIZES = (350, 500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000)


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (Path(folder) / "nginx").mkdir()
        with nginx_server(Path(folder) / "nginx", founded(Path(folder))) as nginx:
            _mini(nginx.root / "mini")
            url = f"{nginx.url}/mini/"
            yield [
                Contest(
                    area="Speed test, download",
                    work=f"A Mini server on loopback; {_SECONDS} s, curl {_PICTURES} pictures of 32 MB.",
                    unit="Gbit/s",
                    contenders=[
                        Contender("curl", lambda: _curl(url)),
                        Contender(_CLI, lambda: _cli(url)),
                        Contender(OURS, lambda: _ots(url, folder)),
                    ],
                    goals=[
                        Goal(10.0, "at least", _CLI),
                        Goal(1.0, "at least", "curl"),
                        Goal(0.1, "at most", _CLI, of="cpu"),
                    ],
                    rounds=3,
                    cpu_unit="s/GB",
                )
            ]


def _mini(root: Path) -> None:
    """The files of a Speedtest Mini server, the largest picture as long as the original's."""
    (root / "speedtest").mkdir(parents=True)
    (root / "index.html").write_text('upload_extension: "php"')
    (root / "speedtest" / "latency.txt").write_text("test=test\n")
    for size in _SIZES:
        with (root / "speedtest" / f"random{size}x{size}.jpg").open("wb") as file:
            file.truncate(2 * size * size)


def _curl(url: str) -> Reading:
    pictures = f"{url}speedtest/random4000x4000.jpg?[1-{_PICTURES}]"
    done = run(["curl", "-q", "-sS", "-o", os.devnull, "-w", "%{size_download} %{time_total}\n", pictures])
    rows = [[float(word) for word in line.split()] for line in done.output.splitlines()]
    count, seconds = sum(row[0] for row in rows), sum(row[1] for row in rows)
    if count < _PICTURES * 10_000_000:
        raise RuntimeError(f"curl got {count:g} bytes")
    return Reading(8 * count / seconds / 1e9, done.cpu / (count / 1e9))


def _cli(url: str) -> Reading:
    done = run([sys.executable, "-c", _CLI_SCRIPT, url, str(_SECONDS)])
    count, rate, cpu = (float(word) for word in done.output.split())
    return Reading(rate / 1e9, cpu / (count / 1e9))


def _ots(url: str, folder: str) -> Reading:
    options = ["--protocol", "mini", "--down", "--duration", f"{_SECONDS} s", "--count", "3", "--json"]
    command = [sys.executable, "-m", "ots", "speedtest", "--server", url, *options]
    step = json.loads(run(command, env={"OTS_DATA_DIR": folder}, ok=(0, 1)).output)["steps"][0]
    if step["error"] is not None:
        raise RuntimeError(f"ots speedtest: {step['error']}")
    (metric,) = (each for each in step["metrics"] if each["key"] == "speed_download_bits_per_second")
    rate = metric["stats"]["median"]
    return Reading(rate / 1e9, metric["method"]["process_cpu_ratio"] * 8e9 / rate)
