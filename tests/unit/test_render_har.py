"""HAR 1.2: the page loads of a report as one archive that a validator takes, whatever lies beside it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.model.report import Artifact, Report
from ots.reports import har, har_artifacts
from ots.reports.format import CannotRender, View
from tests.unit import sample_reports

Record = dict[str, Any]

SCHEMA = Path(__file__).parents[1] / "schemas" / "har-1.2.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
CHINESE = "http://杭州.example/路径?问=答"
HOSTILE = "http://x.example/</script><script>alert(1)</script>\u2028\x1b[2J"


def entry(url: str, second: float, page: str = "load") -> Record:
    """One request as a browser records it."""
    return {
        "pageref": page,
        "startedDateTime": f"2025-03-01T08:15:{30 + second:06.3f}Z",
        "time": 42.5,
        "request": {
            "method": "GET",
            "url": url,
            "httpVersion": "HTTP/1.1",
            "cookies": [{"name": "id", "value": "7", "httpOnly": True, "expires": None}],
            "headers": [{"name": "Host", "value": "x.example"}],
            "queryString": [{"name": "问", "value": "答"}],
            "headersSize": 120,
            "bodySize": 0,
        },
        "response": {
            "status": 200,
            "statusText": "OK",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "Content-Type", "value": "text/html; charset=gb18030"}],
            "content": {"size": 5000, "mimeType": "text/html", "compression": 3000},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": 2000,
        },
        "cache": {},
        "timings": {
            "blocked": -1,
            "dns": 4,
            "connect": 9.5,
            "ssl": -1,
            "send": 0.5,
            "wait": 20,
            "receive": 8.5,
        },
        "serverIPAddress": "192.0.2.10",
        "connection": "51234",
        "_attempt": 1,
    }


def archive(*urls: str, begin: float = 0.0) -> Record:
    """The file that one page load leaves."""
    page = {
        "startedDateTime": f"2025-03-01T08:15:{30 + begin:06.3f}Z",
        "id": "load",
        "title": urls[0],
        "pageTimings": {"onContentLoad": 300, "onLoad": 512.25},
    }
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "OTS", "version": "0.1.0"},
            "pages": [page],
            "entries": [entry(url, begin + place / 100) for place, url in enumerate(urls)],
        }
    }


def loads(*documents: bytes) -> tuple[Report, View]:
    """A report of page loads with these files beside it; two steps, as a case with two pages has."""
    files = {hashlib.sha256(document).hexdigest(): document for document in documents}
    steps = [sample_reports.step(name, "web_page", ["http://x.example/"]) for name in ("page", "页面")]
    for place, (digest, document) in enumerate(files.items()):
        steps[place % 2].artifacts.append(
            Artifact(
                name=f"load-{place}.har", media_type="application/json", bytes=len(document), sha256=digest
            )
        )
    return sample_reports.report(steps), View(sample_reports.DEFINITIONS, artifacts=files)


def as_bytes(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def merged(*documents: bytes) -> Record:
    report, view = loads(*documents)
    found: Record = json.loads(har.render(report, view))
    return found


def test_the_samples_are_archives() -> None:
    """Otherwise what follows says nothing."""
    VALIDATOR.validate(archive("http://x.example/", CHINESE, HOSTILE))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_export_passes_the_validator(language: str) -> None:
    """Several loads of several steps, Chinese and hostile addresses, in either language."""
    documents = [
        as_bytes(archive(url, CHINESE, HOSTILE, begin=n))
        for n, url in enumerate((CHINESE, HOSTILE, "http://x/"))
    ]
    report, view = loads(*documents)
    text = har.render(report, View(view.definitions, language, artifacts=view.artifacts))
    text.encode("ascii")
    VALIDATOR.validate(json.loads(text))
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


def test_pages_keep_their_entries_and_stand_in_the_order_of_time() -> None:
    """Every file calls its page `load`: here each has a name of its own, and its entries point at it."""
    log = merged(
        as_bytes(archive("http://b/", "http://b/1", begin=5)), as_bytes(archive("http://a/", begin=2))
    )["log"]
    assert [page["id"] for page in log["pages"]] == ["page_1", "page_2"]
    assert {page["id"]: page["title"] for page in log["pages"]} == {
        "page_1": "http://b/",
        "page_2": "http://a/",
    }
    told = [(item["pageref"], item["request"]["url"]) for item in log["entries"]]
    assert told == [("page_2", "http://a/"), ("page_1", "http://b/"), ("page_1", "http://b/1")]
    times = [item["startedDateTime"] for item in log["entries"]]
    assert times == sorted(times)


def without(*path: str | int) -> Callable[[Record], None]:
    def remove(document: Record) -> None:
        place: Any = document
        for name in path[:-1]:
            place = place[name]
        del place[path[-1]]

    return remove


def changed(value: object, *path: str | int) -> Callable[[Record], None]:
    def change(document: Record) -> None:
        place: Any = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "break_it",
    [
        changed("1.1", "log", "version"),
        changed(-3, "log", "entries", 0, "time"),
        changed("42", "log", "entries", 0, "time"),
        changed(-2, "log", "entries", 0, "timings", "dns"),
        changed(-1, "log", "entries", 0, "timings", "wait"),
        changed("01/03/2025", "log", "entries", 0, "startedDateTime"),
        changed("2025-03-01T08:15:30", "log", "pages", 0, "startedDateTime"),
        changed("http://x/#part", "log", "entries", 0, "request", "url"),
        changed(1.5, "log", "entries", 0, "response", "content", "size"),
        changed({"a": "b"}, "log", "entries", 0, "request", "headers"),
        changed(1, "log", "entries", 0, "request", "unknown"),
        without("log", "creator"),
        without("log", "entries", 0, "cache"),
        without("log", "entries", 0, "response", "redirectURL"),
        without("log", "pages", 0, "pageTimings"),
    ],
)
def test_the_validator_refuses_what_is_no_archive(break_it: Callable[[Record], None]) -> None:
    """So that passing it means something: version, units, instants, sizes, and what the standard wants."""
    document = archive("http://x.example/")
    break_it(document)
    assert not VALIDATOR.is_valid(document)


def test_a_report_without_page_loads_has_no_archive() -> None:
    """An empty file would look like a page that loaded nothing."""
    for make in sample_reports.ALL.values():
        with pytest.raises(CannotRender, match="holds no page load"):
            har.render(make(), View(sample_reports.DEFINITIONS))


def test_a_report_whose_files_are_elsewhere_says_so() -> None:
    """All gone: refused, with what to do. One of two gone: the other is exported, and the comment counts."""
    one, other = as_bytes(archive("http://a/")), as_bytes(archive("http://b/"))
    report, view = loads(one, other)
    with pytest.raises(CannotRender, match="files of 2 page loads") as refused:
        har.render(report, View())
    assert refused.value.remedy == "export it on the machine that measured"
    kept = {digest: data for digest, data in view.artifacts.items() if data == one}
    document = json.loads(har.render(report, View(artifacts=kept)))
    VALIDATOR.validate(document)
    assert len(document["log"]["pages"]) == 1
    assert "1 of 2 page loads" in document["log"]["comment"]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b'{"log": []}',
        b'{"log": {"entries": {}}}',
        b'{"log": {"entries": [NaN]}}',
        b'{"log": {"entries": [1e999]}}',
        b"[" * 100_000,
        b" " * 5001,
    ],
    ids=["empty", "bytes", "list", "log", "entries", "nan", "infinite", "deep", "large"],
)
def test_a_file_that_is_no_archive_is_left_out(damaged: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone it can't be exported; beside a good one it is counted."""
    monkeypatch.setattr(har_artifacts, "LARGEST", 200_000 if b"[[" in damaged else 5000)
    with pytest.raises(CannotRender):
        merged(damaged)
    document = merged(damaged, as_bytes(archive("http://a/")))
    VALIDATOR.validate(document)
    assert "1 of 2 page loads" in document["log"]["comment"]


def test_entries_without_what_the_standard_wants_are_left_out() -> None:
    """And one that names a page which is not there belongs to none."""
    document = archive("http://a/", "http://b/", "http://c/")
    del document["log"]["entries"][0]["timings"]
    document["log"]["entries"][1]["pageref"] = "elsewhere"
    document["log"]["entries"] += [None, 7, {}, {**entry("http://d/", 1), "request": []}]
    log = merged(as_bytes(document))["log"]
    VALIDATOR.validate({"log": log})
    assert [(item.get("pageref"), item["request"]["url"]) for item in log["entries"]] == [
        (None, "http://b/"),
        ("page_1", "http://c/"),
    ]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    place=st.sampled_from(["log", "pages", "page", "id", "entries", "entry", "startedDateTime", "pageref"]),
    junk=JUNK,
)
def test_junk_in_a_file_never_breaks_the_export(place: str, junk: object) -> None:
    """It is JSON with a log of version 1.2, or it is refused."""
    document = copy.deepcopy(archive("http://a/", "http://b/"))
    log = document["log"]
    match place:
        case "log":
            document["log"] = junk
        case "pages" | "entries":
            log[place] = junk
        case "page":
            log["pages"][0] = junk
        case "id":
            log["pages"][0]["id"] = junk
        case "entry":
            log["entries"][0] = junk
        case _:
            log["entries"][0][place] = junk
    try:
        found = merged(as_bytes(document))
    except CannotRender:
        return
    assert found["log"]["version"] == "1.2"
    assert all(item["request"] for item in found["log"]["entries"])
