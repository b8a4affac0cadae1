"""A report of page loads and the archives beside it: ordinary, large, failing, hostile and lost ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ots.model.report import Artifact, Error, Report
from ots.stats.summary import of_samples
from tests.unit import sample_reports
from tests.unit.sample_reports import HOSTILE, PAGE

BEGAN = datetime(2025, 3, 1, 8, 15, 30, 500_000, UTC)
EVIL_URL = f"http://evil.example/{HOSTILE}?q=javascript:alert(1)&" + "x" * 3000


def entry(url: str, start: float, phases: Mapping[str, float], status: int = 200, size: int = 4096) -> Any:
    """One HAR entry that began `start` ms after BEGAN; phases in ms, those not named did not occur."""
    timings = {name: -1.0 for name in ("blocked", "dns", "connect", "ssl")}
    timings |= {"send": 0.0, "wait": 0.0, "receive": 0.0, **phases}
    return {
        "pageref": "page_1",
        "startedDateTime": stamp(start),
        "time": sum(value for name, value in timings.items() if value > 0 and name != "ssl"),
        "request": {
            "method": "GET",
            "url": url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "Host", "value": "www.example"}],
            "queryString": [],
            "headersSize": 120,
            "bodySize": 0,
        },
        "response": {
            "status": status,
            "statusText": "OK" if status == 200 else "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [],
            "content": {"size": size, "mimeType": "text/html"},
            "redirectURL": "",
            "headersSize": 200,
            "bodySize": size,
        },
        "cache": {},
        "timings": timings,
    }


def stamp(milliseconds: float) -> str:
    return (BEGAN + timedelta(milliseconds=milliseconds)).isoformat().replace("+00:00", "Z")


def archive(entries: Sequence[Any], title: str = "http://www.example/") -> bytes:
    """A HAR of one page."""
    page = {"startedDateTime": stamp(0), "id": "page_1", "title": title, "pageTimings": {"onLoad": -1}}
    log = {"version": "1.2", "creator": {"name": "OTS", "version": "1"}, "pages": [page], "entries": entries}
    return json.dumps({"log": log}).encode()


def ordinary(delay: float = 0) -> list[Any]:
    """A document and eleven resources over six connections."""
    document = {"dns": 12.0, "connect": 31.0, "ssl": 19.0, "send": 0.4, "wait": 88.0 + delay, "receive": 21.0}
    found = [entry("https://www.example/", 0, document, size=18_300)]
    for n in range(11):
        fresh = {"connect": 28.0, "ssl": 17.0} if n < 5 else {"blocked": 30.0 + 6 * n}
        found.append(
            entry(
                f"https://static.example/assets/{'图片' if n % 4 == 3 else 'image'}-{n}.webp?v=3",
                155 + delay + 3 * n,
                {**fresh, "send": 0.2, "wait": 40.0 + 5 * n, "receive": 12.0 + 9 * n},
                size=9_000 * (n + 1),
            )
        )
    return found


def large() -> list[Any]:
    """5,000 resources."""
    return ordinary() + [
        entry(f"https://static.example/r/{n}.png", 400 + n, {"wait": 30.0, "receive": 1.0})
        for n in range(5000)
    ]


def failing() -> list[Any]:
    """A resource that is missing, one that never answered, one whose URL tries to break out."""
    silent = entry(
        "https://static.example/silent.js", 160, {"connect": 30.0, "wait": 5000.0}, status=0, size=-1
    )
    silent["response"]["_error"] = "timeout/first_byte TIMEOUT"
    return [
        *ordinary()[:3],
        entry("https://static.example/gone.css", 158, {"blocked": 4.0, "wait": 22.0}, status=404, size=312),
        silent,
        entry(EVIL_URL, 170, {"wait": 9.0}),
    ]


KEPT = {
    "page-1-1.har": archive(ordinary()),
    "page-1-2.har": archive(ordinary(delay=120)),
    "page-2-1.har": archive(large(), "http://big.example/"),
    "page-3-1.har": archive(failing(), HOSTILE),
}
ARTIFACTS = {hashlib.sha256(data).hexdigest(): data for data in KEPT.values()}


def named(name: str, data: bytes) -> Artifact:
    digest = hashlib.sha256(data).hexdigest()
    return Artifact(name=name, media_type="application/json", bytes=len(data), sha256=digest)


def page_loads(lost: int = 0) -> Report:
    """Three pages, one of them loaded twice; the files of `lost` further loads are not at hand."""
    targets = ["http://www.example/", "http://big.example/", "http://evil.example/"]
    loads = [0.29, 0.41, 5.6, 5.2]
    attempts = [
        sample_reports.attempt(n, targets[target], t=10.0 * n, duration=loads[n])
        for n, target in enumerate((0, 0, 1, 2))
    ]
    broken = Error(class_="timeout", phase="transfer", code="RESOURCE", message="3 of 6 resources failed")
    step = sample_reports.step(
        "pages",
        "web_page",
        targets,
        duration=40.0,
        verdict="fail",
        outcome="failure",
        error=broken,
        reason="attempts_failed",
        attempts=attempts,
        metrics=[of_samples(PAGE, loads[:2], labels={"target": targets[0]})],
        artifacts=[
            *(named(name, data) for name, data in KEPT.items()),
            *(named(f"page-1-{n + 3}.har", b"lost %d" % n) for n in range(lost)),
        ],
    )
    return sample_reports.report([step])
