"""The prober `http`: one request over a fresh connection, and one more for each redirect.

Connections, phases and answers are those of `ots.netio.fanout`, as of http_check. Every hop passes the list
of what may be probed, and goes to the very address that passed.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from ots.netio.fanout.job import Job
from ots.netio.fanout.response import Response
from ots.probe import Failed
from ots.server.prometheus.errand import Errand
from ots.server.prometheus.http_request import MOST_REDIRECTS, REDIRECTS, Ask, first_ask, shown
from ots.server.prometheus.http_rules import RegexFailed, judge, looks_into_body, most_bytes
from ots.server.prometheus.module import HTTPModule

_SECONDS = "probe_http_duration_seconds"
_PHASES = ("resolve", "connect", "tls", "processing", "transfer")


async def probe(errand: Errand) -> None:
    """Makes the probe. `Failed` says why it failed, `NotAllowed` that the list does not allow it, TargetError
    that the target is none."""
    http, figures = errand.loaded.module.http, errand.figures
    assert http is not None
    ask = first_ask(errand.target, errand.loaded, errand.hostname)
    figures.start_phases(_SECONDS, _PHASES)
    figures.start(
        "probe_failed_due_to_regex",
        "probe_http_content_length",
        "probe_http_redirects",
        "probe_http_ssl",
        "probe_http_status_code",
        "probe_http_uncompressed_body_length",
        "probe_http_version",
    )
    job = await _ask(errand, http, ask, redirects=0)
    redirects = 0
    while http.follows and _answer(job).status in REDIRECTS:
        answer = _answer(job)
        ask = ask.redirected(answer.status, answer.field(b"location"))
        redirects += 1
        if redirects > MOST_REDIRECTS:
            raise Failed(
                "rejected", "first_byte", "TOO_MANY_REDIRECTS", f"more than {MOST_REDIRECTS} redirects"
            )
        errand.journal.note(f"status {answer.status} leads to {shown(ask.target)}")
        figures.set("probe_http_redirects", redirects)
        job = await _ask(errand, http, ask, redirects=redirects)
    try:
        judge(http, _answer(job), tls=job.tls is not None)
    except RegexFailed:
        figures.set("probe_failed_due_to_regex", 1)
        raise


async def _ask(errand: Errand, http: HTTPModule, ask: Ask, *, redirects: int) -> Job:
    """One request and its answer, whatever its status; `Failed` if there is none."""
    target = ask.target
    address = await errand.admit(target.host, target.port, http, first=not redirects)
    errand.figures.add(_SECONDS, address.lookup, phase="resolve")
    left = errand.left("connect")
    job = Job(
        owner=errand.connections.number(),
        address=address,
        port=target.port or 0,
        due=errand.clock.monotonic(),
        timeout=left,
        deadline=errand.clock.monotonic() + left,
        tls=errand.loaded.tls if target.scheme == "https" else None,
        server_name=ask.sni,
        request=ask.wire(),
        response=Response(max_bytes=most_bytes(http), head=ask.method == "HEAD", keep=looks_into_body(http)),
    )
    errand.journal.note(f"asking {shown(target)} at {job.where}")
    await errand.connections.carry_out(job)
    _publish(errand, job)
    if job.failure is not None:
        raise job.failure
    return job


def _publish(errand: Errand, job: Job) -> None:
    """What a connection came to, as far as it came."""
    answer, figures = _answer(job), errand.figures
    for phase, seconds in (
        ("connect", job.connect_seconds),
        ("tls", job.tls_seconds if job.secured is not None else None),
        ("processing", _between(job.sent, job.first_byte)),
        ("transfer", _between(job.first_byte, job.end)),
    ):
        if seconds is not None:
            figures.add(_SECONDS, seconds, phase=phase)
    if job.secured is not None:
        errand.journal.note(f"{job.tls_version} in {job.tls_seconds:.6f} s")
    if not answer.status:
        return
    errand.journal.note(f"status {answer.status}, HTTP/{answer.version}, {answer.body} bytes of body")
    figures.set("probe_http_status_code", answer.status)
    figures.set("probe_http_version", float(answer.version))
    figures.set("probe_http_ssl", job.tls is not None)
    figures.set("probe_http_content_length", _length(answer))
    figures.set("probe_http_uncompressed_body_length", answer.body)
    modified = _date(answer.field(b"last-modified"))
    if modified is not None:
        figures.set("probe_http_last_modified_timestamp_seconds", modified)
    if job.chain:
        errand.certificates(job.chain, job.tls_version)


def _answer(job: Job) -> Response:
    assert job.response is not None
    return job.response


def _length(answer: Response) -> int:
    """Content-Length; -1 where the body's end is told otherwise."""
    said = (answer.field(b"content-length") or "").partition(",")[0].strip()
    if said.isascii() and said.isdigit() and len(said) <= 18:
        return int(said)
    return 0 if answer.status in (204, 304) else -1


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)
