"""`python -m ots.netio.speed.cli_child`: the library speedtest-cli against one Mini server.

It runs apart from OTS: it works in threads that fight for the interpreter, takes standard output over when
it is imported, and wants a configuration from the internet first; here it is handed one. The first line of
standard input is the order, one line of JSON; then each line `download` or `upload` is answered by lines
`{"bytes": n}` while it runs and one `{"done": …}`. It ends when standard input does.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

STEP = 0.1
_PIXELS = [350, 500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000]
_UPLOADS = [32768, 65536, 131072, 262144, 524288, 1048576, 7340032]
_COUNTS = {"download": 4, "upload": 4}
_SOONEST = 3600.0 * 1000 / 6
"""Milliseconds from which a latency holds a failure: speedtest-cli adds an hour for each."""


def _library() -> Any:
    """The library, with standard output as it was before."""
    out, err = sys.stdout, sys.stderr
    import speedtest

    sys.stdout, sys.stderr = out, err
    return speedtest


def _say(**document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class _Opener:
    """Notes each refusal: the library counts what it sent to a server that declined it."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.refused = inner, 0

    def open(self, *arguments: Any, **more: Any) -> Any:
        from urllib.error import HTTPError

        try:
            return self._inner.open(*arguments, **more)
        except HTTPError as error:
            self.refused = error.code
            raise


def main() -> int:
    order = json.loads(sys.stdin.readline())
    library = _library()
    length = {way: order["duration"] for way in ("download", "upload")}
    threads = {way: order["connections"] for way in ("download", "upload")}

    class Handed(library.Speedtest):  # type: ignore[misc, name-defined]
        """Its configuration is given, not fetched."""

        def get_config(self) -> dict[str, Any]:
            self.config.update(
                client={"ip": "127.0.0.1", "lat": "0", "lon": "0", "isp": ""},
                ignore_servers=[],
                sizes={"download": _PIXELS, "upload": _UPLOADS},
                counts=_COUNTS,
                threads=threads,
                length=length,
                upload_max=len(_UPLOADS) * _COUNTS["upload"],
            )
            self.lat_lon = (0.0, 0.0)
            config: dict[str, Any] = self.config
            return config

    try:
        test = Handed(source_address=order["source"], timeout=order["timeout"])
        test.set_mini_server(order["url"])
        best = test.get_best_server(test.servers)
    except library.SpeedtestException as error:
        _say(failed=type(error).__name__, message=str(error))
        return 1
    latency = best["latency"]
    _say(ready=True, latency=latency / 1000 if latency < _SOONEST else None)
    opener = test._opener = _Opener(test._opener)
    for line in sys.stdin:
        _run(library, test, opener, line.strip(), order["connections"])
    return 0


def _run(library: Any, test: Any, opener: _Opener, way: str, connections: int) -> None:
    moved: list[list[int]] = []
    watched = library.HTTPDownloader if way == "download" else library.HTTPUploaderData
    place = "result" if way == "download" else "total"
    first = watched.__init__

    def noted(self: Any, *arguments: Any, **more: Any) -> None:
        first(self, *arguments, **more)
        moved.append(getattr(self, place))

    watched.__init__ = noted
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(STEP):
            _say(bytes=sum(map(sum, list(moved))))

    teller = threading.Thread(target=tell)
    teller.start()
    opener.refused = 0
    try:
        rate = (test.download if way == "download" else test.upload)(threads=connections)
    finally:
        ended.set()
        teller.join()
        watched.__init__ = first
    count = test.results.bytes_received if way == "download" else test.results.bytes_sent
    _say(done=rate, bytes=count, refused=opener.refused)


if __name__ == "__main__":
    sys.exit(main())
