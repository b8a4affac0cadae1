"""Foreign clients of speed tests at our server, over a link of a known rate: do they say what we say?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.product import measure
from tests.lab.link import Ends, wire
from tests.lab.row import Row
from tests.peers.programs import lack
from tests.peers.speed_clients import Rates, librespeed, ndt7, speedtest_mini
from tests.peers.speed_server import served

_TOLERANCE = 0.05
_RATE = 100e6
_PORT = 8080


def speed_clients() -> Iterator[Row]:
    """Our own probe first, which is the truth here, then everybody else, one after the other."""
    with wire(rate_down=_RATE, rate_up=_RATE) as made:
        ends = replace(made, ahead=True)
        listen = ("--listen", f"{ends.far_address}:{_PORT}", "--workers", "1")
        with served(*listen, prefix=ends.far_prefix) as (url, _):
            own = Rates(
                _transfer(ends, "http_download", f"{url}/speed/down"),
                _transfer(ends, "http_upload", f"{url}/speed/up"),
            )
            clients: list[tuple[str, Callable[[], Rates]]] = [
                ("ots speedtest", lambda: _speedtest(ends, url)),
                ("speedtest-cli --mini", lambda: speedtest_mini(url, ends.prefix, chunks=30)),
                ("LibreSpeed's URLs, by curl", lambda: librespeed(url, ends.prefix, mebibytes=25)),
                ("@m-lab/ndt7", lambda: _ndt7(ends, url)),
            ]
            for who, rates in clients:
                yield from _rows(who, own, rates)


def _rows(who: str, own: Rates, client: Callable[[], Rates]) -> Iterator[Row]:
    rates, why = None, ""
    try:
        rates = client()
    except RuntimeError as error:
        why = str(error)[:200]
    for way in ("down", "up"):
        truth: float = getattr(own, way)
        yield Row(
            "Clients at OTS's server, against http_download and http_upload there",
            "100 Mbit/s",
            f"{who}, {way}",
            "Mbit/s",
            truth / 1e6,
            None if rates is None else getattr(rates, way) / 1e6,
            tolerance=_TOLERANCE * truth / 1e6,
            why=why,
        )


def _ndt7(ends: Ends, url: str) -> Rates:
    if missing := lack("ndt7") or lack("ws") or lack("node"):
        raise RuntimeError(missing)
    return Rates(ndt7(url, "download", ends.prefix)[0], ndt7(url, "upload", ends.prefix)[0])


def _speedtest(ends: Ends, url: str) -> Rates:
    measured = measure(["speedtest", "--server", f"{url}/", "--duration", "6 s"], prefix=ends.prefix)
    down, up = (measured.value(f"speed_{way}_bits_per_second", "median") for way in ("download", "upload"))
    return Rates(down, up)


def _transfer(ends: Ends, kind: str, url: str) -> float:
    words = [kind.replace("_", "-"), url, "--duration", "8 s", "--connections", "4"]
    return measure(words, prefix=ends.prefix).value(f"{kind}_throughput_bits_per_second", "median")
