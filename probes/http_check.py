"""Whether many URLs answer as they should, and how long each phase of that takes.

One light request to each URL over a fresh connection: name, connect, TLS, wait, answer. Thousands of them run
at the same time from one thread (docs/design/013-fanout.md); names are looked up by the system's resolver,
each once. The time of the TCP connection is the kernel's own, all others are this program's: a stamp is taken
when the kernel reports the event.

What it is not: a page load (`web_page`) or a throughput (`http_download`). The body is read to its end but
not kept. A proxy of the environment is not used.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ots import __version__
from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.connection_metrics import TCP_CONNECT_SECONDS
from ots.netio.fanout.job import Job
from ots.netio.fanout.response import Response
from ots.netio.fanout.sweep import POOL_ABOVE, Hop, Sweep
from ots.netio.tls import client_context
from ots.netio.web.reach import Reach
from ots.probe import (
    Address,
    AttemptData,
    Context,
    Estimate,
    Failed,
    NetworkParams,
    Probe,
    Target,
    Targets,
)
from ots.probes import _http_check_metrics as published
from ots.probes import _http_check_rules as rules
from ots.probes._tls_metrics import DAYS_LEFT, HANDSHAKE
from ots.schema.quantity import Duration, Secret, Size

_TYPICAL = 0.2
"""Seconds that a check takes where all is well, for the plan."""

_REQUEST_BYTES = 2_000
"""Bytes that a check sends at most, handshakes included."""


class HttpCheckParams(NetworkParams):
    timeout: Annotated[
        Duration,
        Field(ge=0.05, le=300, description=N_("For the whole check, from the name to the last byte.")),
    ] = 10.0
    method: Annotated[Literal["GET", "HEAD"], Field(description=N_("GET, or HEAD for no body."))] = "GET"
    expect_status: Annotated[
        str, Field(max_length=200, description=N_("Statuses to accept, as 200, 2xx, 200-204, 401."))
    ] = "2xx"
    expect_text: Annotated[
        str | None, Field(min_length=1, max_length=1000, description=N_("Text that the body must contain."))
    ] = None
    max_bytes: Annotated[
        Size, Field(ge=0, le=1 << 30, description=N_("A body of more bytes fails the check."))
    ] = 1 << 20
    max_redirects: Annotated[
        int, Field(ge=0, le=20, description=N_("Redirects to follow; 0: the first answer is judged."))
    ] = 5
    verify: Annotated[bool, Field(description=N_("Check the server's certificate."))] = True
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None
    user: Annotated[
        str | None,
        Field(pattern="^[^:\\x00-\\x1f\\x7f]{1,200}$", description=N_("User to log in as (HTTP Basic).")),
    ] = None
    password: Annotated[Secret | None, Field(description=N_("Password of the user."))] = None
    concurrency: Annotated[
        int, Field(ge=1, le=50_000, description=N_("Connections open at the same time, at most."))
    ] = 1000
    spread: Annotated[
        Duration, Field(ge=0, le=86_400, description=N_("Time over which the checks' starts are spread."))
    ] = 0.0
    user_agent: Annotated[str, Field(pattern="^[ -~]{1,300}$", description=N_("User-Agent to send."))] = (
        f"ots/{__version__}"
    )

    @model_validator(mode="after")
    def _whose_password(self) -> HttpCheckParams:
        if self.password is not None and self.user is None:
            raise ValueError("password needs user")
        return self

    @field_validator("expect_status")
    @classmethod
    def _statuses(cls, value: str) -> str:
        rules.statuses(value)
        return value


class HttpCheck(Probe):
    """One request to each URL, all from one thread."""

    kind = "http_check"
    version = 1
    summary = N_("Checks many URLs at once: is each answer as expected, and how long is each phase?")
    example = "http://192.0.2.1:8080/"
    targets = Targets(
        forms=("url",),
        many=True,
        schemes=("http", "https"),
        default_ports=(("http", 80), ("https", 443)),
        pool_above=POOL_ABOVE,
    )
    Params = HttpCheckParams
    metrics = published.METRICS
    round_trip = published.CHECK.key

    def estimate(self, targets: Sequence[Target], params: HttpCheckParams) -> Estimate:
        waves = -(-len(targets) // params.concurrency)
        requests = len(targets) * (1 + params.max_redirects)
        return Estimate(
            params.spread + waves * _TYPICAL,
            received=len(targets) * params.max_bytes if params.method == "GET" else requests * _REQUEST_BYTES,
            sent=requests * _REQUEST_BYTES,
            longest=params.spread + (waves + 1) * params.timeout,
        )

    async def run(self, ctx: Context, targets: Sequence[Target], params: HttpCheckParams) -> None:
        asker = _Checks(ctx, targets, params)
        await asker.prepare()
        sweep = Sweep(
            ctx,
            asker,
            len(targets),
            route=params.route,
            timeout=params.timeout,
            concurrency=params.concurrency,
        )
        try:
            await sweep.run()
        finally:
            if self.targets.pools(len(targets)):
                ctx.method(target=targets[0].text, **sweep.facts())

    def summarise(self, attempts: Sequence[AttemptData], params: HttpCheckParams) -> list[Metric]:
        return published.summarise(attempts)


class _Visit:
    """A check that was redirected: where it is now."""

    __slots__ = ("began", "count", "deadline", "reach", "target")

    def __init__(self, target: Target, began: float, deadline: float) -> None:
        self.target = target
        self.began = began
        self.deadline = deadline
        self.count = 0
        self.reach = Reach()


class _Checks:
    """What is asked of each URL, and what is recorded of it (`ots.netio.fanout.sweep.Asker`)."""

    def __init__(self, ctx: Context, targets: Sequence[Target], params: HttpCheckParams) -> None:
        self._ctx = ctx
        self._targets = targets
        self._params = params
        self._rules = rules.Rules(rules.statuses(params.expect_status), params.expect_text)
        self._step = params.spread / len(targets)
        self._many = HttpCheck.targets.pools(len(targets))
        self._authorization = None if params.user is None else self._credentials(params.user)
        self._visits: dict[int, _Visit] = {}
        self._tls: ssl.SSLContext | None = None
        self._ends: dict[tuple[bytes, ...], datetime | None] = {}

    def _credentials(self, user: str) -> str:
        password = self._params.password
        return rules.credentials(user, "" if password is None else self._ctx.secret(password))

    async def prepare(self) -> None:
        """Reads the trusted authorities, which takes a while, if they are needed."""
        if any(target.scheme == "https" for target in self._targets):
            await self._authorities()

    async def _authorities(self) -> None:
        ctx, params = self._ctx, self._params
        self._tls = await ctx.thread(
            lambda: client_context(verify=params.verify, ca_file=params.ca_file, alpn=("http/1.1",))
        )

    def host(self, owner: int) -> str:
        return self._targets[owner].host

    def due(self, owner: int) -> float:
        return owner * self._step

    def first(self, owner: int, address: Address, due: float) -> Job:
        job = self._job(owner, self._targets[owner], address, due)
        job.spent = min(address.lookup, self._params.timeout)
        return job

    def _job(self, owner: int, target: Target, address: Address, due: float) -> Job:
        params = self._params
        # A redirect to elsewhere doesn't take the password along.
        known = rules.same_origin(target, self._targets[owner])
        return Job(
            owner=owner,
            address=address,
            port=target.port or 0,
            due=due,
            timeout=params.timeout,
            tls=self._tls if target.scheme == "https" else None,
            server_name=target.host,
            request=rules.request(
                target, params.method, params.user_agent, self._authorization if known else None
            ),
            response=Response(
                max_bytes=params.max_bytes, text=params.expect_text, head=params.method == "HEAD"
            ),
        )

    def follow(self, job: Job) -> Hop | None:
        """The next hop of a redirect; else the answer is judged, and the job failed by it."""
        answer = job.response
        if job.failure is not None or answer is None:
            return None
        visit = self._visits.get(job.owner)
        target = self._targets[job.owner] if visit is None else visit.target
        if answer.status in rules.REDIRECTS and self._params.max_redirects:
            try:
                return self._redirect(job, target, answer)
            except Failed as failure:
                job.failure = failure
        else:
            job.failure = self._rules.judge(target, answer)
        return None

    def _redirect(self, job: Job, target: Target, answer: Response) -> Hop:
        visit = self._visits.get(job.owner)
        if visit is None:
            assert job.start is not None and job.deadline is not None
            visit = self._visits[job.owner] = _Visit(target, job.start - job.spent, job.deadline)
            visit.reach.check(target.host, job.address.ip)
        place = rules.redirected(target, answer.field(b"location"), answer.status, HttpCheck.targets)
        visit.count += 1
        if visit.count > self._params.max_redirects:
            raise Failed(
                "rejected",
                "first_byte",
                "TOO_MANY_REDIRECTS",
                f"more than {self._params.max_redirects} redirects, the last to {rules.shown(place)}",
            )
        visit.target, job.followed = place, True
        return Hop(job.owner, place.host, lambda address: self._next(job.owner, visit, address))

    async def _next(self, owner: int, visit: _Visit, address: Address) -> Job:
        visit.reach.check(visit.target.host, address.ip)
        if visit.target.scheme == "https" and self._tls is None:
            await self._authorities()
        job = self._job(owner, visit.target, address, 0.0)
        job.deadline = visit.deadline
        return job

    def failed(self, owner: int, failure: Failed) -> None:
        text = self._targets[owner].text
        self._ctx.record(published.CHECK.key, None, target=text, reason=failure.error.class_)
        self._ctx.failed(text, failure)

    def record(self, job: Job) -> None:
        """The last answer's figures; of those before it only the bytes count."""
        answer, text, ctx = job.response, self._targets[job.owner].text, self._ctx
        if answer is None or job.start is None or job.end is None:
            return
        received = answer.received + sum(map(len, job.chain))
        ctx.budget.spend(received=received, sent=len(job.request) if job.sent is not None else 0)
        if job.followed:
            return
        visit = self._visits.get(job.owner)
        began = visit.began if visit is not None else job.start - job.spent if job.spent else job.start
        failure = job.failure
        if failure is None:
            ctx.record(published.CHECK.key, job.end - began, target=text, t=began)
        else:
            ctx.record(published.CHECK.key, None, target=text, t=began, reason=failure.error.class_)
        for metric, value in (
            (published.RESOLVE, job.address.lookup or None),
            (TCP_CONNECT_SECONDS, job.connect_seconds),
            (HANDSHAKE, job.tls_seconds if job.secured is not None else None),
            (published.WAIT, _between(job.sent, job.first_byte)),
            (published.RECEIVE, (_between(job.first_byte, job.end) or None) if answer.complete else None),
            (published.STATUS, sys.intern(str(answer.status)) if answer.status else None),
            (published.BODY, answer.body if answer.complete else None),
            (published.REDIRECTS, visit.count if visit is not None else None),
            (DAYS_LEFT, self._days_left(job)),
        ):
            if value is not None:
                ctx.record(metric.key, value, target=text, t=job.start)
        if not self._many:
            self._mark(job, text)
        if failure is not None:
            ctx.failed(text, failure)

    def _mark(self, job: Job, text: str) -> None:
        """Trigger points and method of one of few targets; of thousands they would fill the report."""
        ctx = self._ctx
        for trigger, t, source in (
            ("connect_start", job.start, "app"),
            ("connected", job.connected, "socket"),
            ("tls_done", job.secured, "app"),
            ("request_sent", job.sent, "app"),
            ("first_byte", job.first_byte, "socket"),
            ("last_byte", job.end if job.response is not None and job.response.complete else None, "socket"),
        ):
            if t is not None:
                ctx.mark(trigger, t=t, source=source, target=text)
        ctx.method(
            target=text,
            address=job.address.ip,
            family=job.address.family,
            port=job.port,
            connect_stamps=job.stamps if job.connect_seconds is not None else None,
        )

    def _days_left(self, job: Job) -> float | None:
        """Days until the first certificate of the chain ends; each chain is read once."""
        if not job.chain:
            return None
        # Plain HTTP does without the 14 MB of a library that reads certificates.
        from ots.netio.certificate import days_left, first_end

        if job.chain not in self._ends:
            self._ends[job.chain] = first_end(job.chain)
        end = self._ends[job.chain]
        return None if end is None else days_left(end, self._ctx.clock.wall())


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)
