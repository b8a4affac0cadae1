"""Reports as renderers may meet them: rich, broken off, hostile; made by the real model and statistics."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from ots.model.metric import Metric, MetricDef, Series, StatValue, Value
from ots.model.outcome import Outcome, Verdict, worst
from ots.model.report import (
    Artifact,
    Attempt,
    CaseRef,
    Context,
    DataUse,
    Error,
    Job,
    Judgement,
    LogLine,
    Precheck,
    Report,
    Run,
    Schema,
    Step,
    ThresholdResult,
    Trigger,
)
from ots.model.validity import Finding, FindingCode, Grade, Validity
from ots.stats.summary import of_ratio, of_samples, of_value

L_STATS = ("median", "min", "mean", "p95", "p99", "max", "stddev")

RTT = MetricDef(
    "ping_rtt_seconds",
    "s",
    "sample",
    "Round-trip time",
    "Request sent to reply received.",
    L_STATS,
    "lower",
    "RFC 2681",
)
LOSS = MetricDef(
    "ping_packet_loss_ratio",
    "1",
    "aggregate",
    "Packet loss",
    "Requests without a reply in time / requests.",
    better="lower",
    source="RFC 6673",
)
SENT = MetricDef("ping_requests_sent", "{packet}", "aggregate", "Sent", "Echo requests sent.")
RECEIVED = MetricDef(
    "ping_replies_received", "{packet}", "aggregate", "Received", "Echo replies, no duplicates."
)
DUPLICATES = MetricDef(
    "ping_duplicates",
    "{packet}",
    "aggregate",
    "Duplicates",
    "Further replies.",
    better="lower",
    source="RFC 5560",
)
JITTER = MetricDef(
    "ping_jitter_seconds", "s", "aggregate", "Jitter", "Mean of |D(i)|.", better="lower", source="RFC 3393"
)
DOWN = MetricDef(
    "http_download_throughput_bits_per_second",
    "bit/s",
    "attempt",
    "Download rate",
    "Steady part of the transfer.",
    ("mean", "min", "max"),
    "higher",
    "TR-143",
)
DOWN_INTERVAL = MetricDef(
    "http_download_interval_throughput_bits_per_second",
    "bit/s",
    "series",
    "Download rate per interval",
    "Bytes.",
    ("mean", "min", "p05", "median", "p95", "max"),
    "higher",
    "TR-143",
)
UP = MetricDef(
    "http_upload_throughput_bits_per_second",
    "bit/s",
    "attempt",
    "Upload rate",
    "Steady part of the transfer.",
    ("mean", "min", "max"),
    "higher",
    "TR-143",
)
UP_INTERVAL = MetricDef(
    "http_upload_interval_throughput_bits_per_second",
    "bit/s",
    "series",
    "Upload rate per interval",
    "Bytes.",
    ("mean", "min", "p05", "median", "p95", "max"),
    "higher",
    "TR-143",
)
PAGE = MetricDef(
    "web_page_load_seconds",
    "s",
    "attempt",
    "Page load time",
    "Start to last byte.",
    ("median", "min", "p95", "max"),
    "lower",
)
MAIL = MetricDef(
    "mail_delivery_seconds", "s", "attempt", "Mail delivery time", "Sent to seen.", ("median",), "lower"
)
DNS = MetricDef(
    "dns_lookup_seconds",
    "s",
    "sample",
    "Lookup time",
    "Query sent to usable answer.",
    L_STATS,
    "lower",
    "TS 102 250-2",
)
RCODE = MetricDef("dns_rcode", "1", "state", "Response code", "RCODE of the answers.", ("histogram",))
UP_HOSTS = MetricDef("sweep_hosts_up", "{host}", "aggregate", "Addresses up", "Addresses that answered.")
SCANNED = MetricDef("sweep_hosts_scanned", "{host}", "aggregate", "Addresses probed", "Addresses probed.")

DEFINITIONS = {
    definition.key: definition
    for definition in (
        RTT,
        LOSS,
        SENT,
        RECEIVED,
        DUPLICATES,
        JITTER,
        UP_HOSTS,
        SCANNED,
        DNS,
        RCODE,
        DOWN,
        DOWN_INTERVAL,
        UP,
        UP_INTERVAL,
        PAGE,
        MAIL,
    )
}

HOSTILE = '<script>alert("owned")</script>\x1b[2J\u202egnp.exe"\'><img src=x onerror=alert(1)>'


def attempt(
    index: int,
    target: str,
    *,
    t: float = 0.0,
    duration: float = 1.0,
    outcome: Outcome = "success",
    error: Error | None = None,
    cycle: int = 0,
) -> Attempt:
    triggers = [
        Trigger(name="start", t=t, source="app"),
        Trigger(name="connected", t=t + 0.012, source="socket"),
    ]
    return Attempt(
        index=index,
        cycle=cycle,
        target=target,
        outcome=outcome,
        error=error,
        t=t,
        duration=duration,
        triggers=triggers,
        context=0,
    )


def step(
    key: str,
    probe: str,
    targets: Sequence[str],
    *,
    t: float = 0.0,
    duration: float = 1.0,
    verdict: Verdict = "measured",
    outcome: Outcome = "success",
    metrics: Sequence[Metric] = (),
    series: Sequence[Series] = (),
    thresholds: Sequence[ThresholdResult] = (),
    attempts: Sequence[Attempt] | None = None,
    error: Error | None = None,
    reason: str | None = None,
    during: str | None = None,
    instance: str | None = None,
    params: dict[str, Any] | None = None,
    log: Sequence[LogLine] = (),
    artifacts: Sequence[Artifact] = (),
) -> Step:
    if attempts is None:
        attempts = [
            attempt(index, target, t=t, duration=duration, outcome=outcome, error=error)
            for index, target in enumerate(targets)
        ]
    return Step(
        id=key.partition("[")[0],
        instance=instance,
        key=key,
        probe=probe,
        probe_version=1,
        during=during,
        targets=list(targets),
        params=params or {},
        t=t,
        duration=duration,
        outcome=outcome,
        error=error,
        flaky=False,
        attempts=list(attempts),
        metrics=list(metrics),
        series=list(series),
        thresholds=list(thresholds),
        validity=None,
        verdict=verdict,
        reason=reason,
        load={"loop_lag_p99_seconds": 0.0004, "loop_lag_max_seconds": 0.0011, "process_cpu_ratio": 0.08},
        log=list(log),
        artifacts=list(artifacts),
        nulls={"validity": "not_graded"},
    )


def report(steps: Sequence[Step], **changes: Any) -> Report:
    """A completed report of these steps; `changes` replace fields of the document, `run_…` of its run."""
    end = max((each.t + each.duration for each in steps), default=0.0)
    run = Run(
        run_id="0192f6a2-5d2c-7cc1-9c1e-3f5c8c1d2e4f",
        state="completed",
        reason=None,
        cycles=1,
        start="2025-03-01T08:15:30.123456Z",
        end="2025-03-01T08:17:22.423456Z",
        duration=end,
        clock={"source": "ntp", "error_bound_seconds": 0.003, "step_seconds": 0.00001},
        precheck=None,
        data=DataUse(),
    )
    for name in [name for name in changes if name.startswith("run_")]:
        setattr(run, name.removeprefix("run_"), changes.pop(name))
    document = Report(
        schema=Schema(),
        report_id="0192f6a2-5d2c-7cc1-9c1e-3f5c8c1d2e50",
        seq=412,
        revision=1,
        verdict=worst(each.verdict for each in steps),
        agent={"agent_id": "b6f3f6a8-0d3c-4a39-8b0c-5a5e2c0d7e11", "name": "van-3", "version": "0.1.0"},
        job=Job(id="HZ-117", customer="Zhejiang Broadband", site="Hangzhou, West Lake 3F", engineer="Li Wei"),
        case=CaseRef(
            id="office-broadband",
            version=3,
            sha256="9f" * 32,
            title={"en": "Office broadband", "zh": "办公室宽带"},
        ),
        tags={"floor": "3"},
        run=run,
        contexts=[context()],
        steps=list(steps),
        scores=[],
    )
    for name, value in changes.items():
        setattr(document, name, value)
    return document


def context(t: float = 0.0, interface: str = "eth0") -> Context:
    return Context(
        t=t,
        device={
            "hostname": "van-3",
            "os": "Debian GNU/Linux 12",
            "kernel": "6.1.0",
            "cpu_count": 4,
            "architecture": "x86_64",
        },
        network={
            "interface": interface,
            "type": "ethernet",
            "mtu": 1500,
            "addresses": ["192.0.2.77", "2001:db8::77"],
            "gateway": "192.0.2.1",
            "dns": ["192.0.2.53"],
            "wifi": None,
        },
        radio=None,
        position=None,
        load={"cpu_ratio": 0.12, "load_1m": 0.4},
        nulls={"radio": "no_device", "position": "no_device", "network.wifi": "no_device"},
    )


def wave(
    n: int, centre: float, *, seed: int, spread: float = 0.12, tail: float = 0.6, losses: Sequence[int] = ()
) -> list[Value | None]:
    """Delays as links show them: a floor, some noise, a rare spike, and the lost ones."""
    source = random.Random(seed)
    values: list[Value | None] = []
    for position in range(n):
        value = centre * (1 + abs(source.gauss(0, spread)))
        if source.random() < 0.03:
            value += centre * tail * source.random() * 4
        values.append(None if position in losses else round(value, 7))
    return values


def rates(
    n: int, plateau: float, *, seed: int, ramp: int = 8, dips: Sequence[int] = ()
) -> list[Value | None]:
    """A transfer's rate per interval: slow start, plateau, a dip where another flow came in."""
    source = random.Random(seed)
    values: list[Value | None] = []
    for position in range(n):
        level = plateau * (1 - math.exp(-(position + 1) / ramp))
        if position in dips:
            level *= 0.55
        values.append(round(level * (1 + source.gauss(0, 0.03)), 1))
    return values


def columns(
    key: str, labels: dict[str, str], values: Sequence[Value | None], *, t: float, interval: float
) -> Series:
    return Series(
        key=key,
        labels=labels,
        t=[round(t + interval * position, 6) for position in range(len(values))],
        v=list(values),
        a=[0] * len(values),
        nulls={str(position): "loss" for position, value in enumerate(values) if value is None},
    )


def ping_metrics(target: str, values: Sequence[Value | None], flags: Sequence[str] = ()) -> list[Metric]:
    labels = {"target": target}
    lost = sum(value is None for value in values)
    present = [float(value) for value in values if isinstance(value, int | float)]
    steps = [abs(second - first) for first, second in zip(present, present[1:], strict=False)]
    method: dict[str, Value | None] = {"socket": "raw", "timestamp_source": "kernel"}
    return [
        of_samples(RTT, values, labels=labels, method=method, flags=flags),
        of_ratio(LOSS, lost, len(values), labels=labels, method=method),
        of_value(SENT, len(values), labels=labels),
        of_value(RECEIVED, len(present), labels=labels),
        of_value(DUPLICATES, 0, labels=labels),
        of_value(
            JITTER,
            sum(steps) / len(steps) if steps else None,
            labels=labels,
            reason=None if steps else "too_few_samples",
        ),
    ]


def ping(
    key: str,
    targets: dict[str, Sequence[Value | None]],
    *,
    t: float = 0.0,
    interval: float = 0.02,
    **more: Any,
) -> Step:
    """A ping step from given samples per target."""
    n = max(len(values) for values in targets.values())
    return step(
        key,
        "ping",
        list(targets),
        t=t,
        duration=n * interval,
        metrics=[metric for target, values in targets.items() for metric in ping_metrics(target, values)],
        series=[
            columns(RTT.key, {"target": target}, values, t=t, interval=interval)
            for target, values in targets.items()
        ],
        params={
            "count": n,
            "interval": f"{round(interval * 1000)} ms",
            "timeout": "2 s",
            "size": "56 B",
            "family": "auto",
        },
        **more,
    )


def threshold(
    definition: MetricDef,
    stat: str,
    metrics: Sequence[Metric],
    *,
    verdict: Verdict,
    warn: str | None = None,
    fail: str | None = None,
    reason: str | None = None,
    value: StatValue = None,
) -> ThresholdResult:
    """A judged threshold; the first metric of the key is the decisive one."""
    judgements = []
    for metric in (metric for metric in metrics if metric.key == definition.key):
        low, high = metric.stats.get("ci95_low"), metric.stats.get("ci95_high")
        found = metric.stats.get(stat)
        judgements.append(
            Judgement(
                labels=metric.labels,
                value=found if not isinstance(found, dict) else None,
                n=metric.n_valid,
                ci95=[float(low), float(high)]
                if isinstance(low, int | float)
                and isinstance(high, int | float)
                and stat in ("value", "median")
                else None,
                verdict=verdict,
                reason=reason,
            )
        )
    if value is None and judgements:
        value = judgements[0].value
    return ThresholdResult(
        id=f"{definition.key}.{stat}",
        metric=definition.key,
        stat=stat,
        unit=definition.unit,
        warn=warn,
        fail=fail,
        value=value if not isinstance(value, dict) else None,
        verdict=verdict,
        reason=reason,
        judgements=judgements,
    )


def transfer(
    key: str,
    total: MetricDef,
    interval: MetricDef,
    values: Sequence[Value | None],
    *,
    t: float,
    every: float,
    target: str,
    **more: Any,
) -> Step:
    direction = "down" if "download" in total.key else "up"
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    steady = numbers[len(numbers) // 4 :]
    method: dict[str, Value | None] = {"warmup": "until growth stops", "protocol": "HTTP/1.1"}
    metrics = [
        of_samples(
            total,
            [sum(steady) / len(steady)],
            labels={"target": target, "direction": direction},
            method=method,
        ),
        of_samples(interval, values, labels={"target": target, "direction": direction}, method=method),
    ]
    return step(
        key,
        f"http_{direction}load",
        [target],
        t=t,
        duration=len(values) * every,
        metrics=metrics,
        series=[
            columns(interval.key, {"target": target, "direction": direction}, values, t=t, interval=every)
        ],
        params={"duration": f"{len(values) * every:g} s", "connections": 4, "size": None, "family": "auto"},
        **more,
    )


def office() -> Report:
    """A whole case: every verdict, parallel and accompanying steps, instances, transfers both ways."""
    gateway = wave(400, 0.0112, seed=1)
    second = wave(400, 0.0131, seed=2)
    gateway_step = ping("gateway", {"192.0.2.1": gateway, "192.0.2.2": second}, t=0.4, verdict="pass")
    gateway_step.thresholds = [
        threshold(RTT, "p95", gateway_step.metrics, verdict="pass", warn="< 60 ms", fail="< 150 ms"),
        threshold(LOSS, "value", gateway_step.metrics, verdict="pass", fail="<= 1 %"),
    ]
    neighbours = step(
        "neighbours",
        "ping",
        ["192.0.2.0/28"],
        t=8.5,
        duration=1.6,
        metrics=[of_value(UP_HOSTS, 3), of_value(SCANNED, 14)],
        params={"count": 1, "timeout": "1 s"},
    )
    loads = [1.9, 1.7, 2.4, 1.8, 2.1]
    page = step(
        "page",
        "web_page",
        ["http://192.0.2.10:8080/"],
        t=10.2,
        duration=15.0,
        attempts=[
            attempt(i, "http://192.0.2.10:8080/", t=10.2 + 3 * i, duration=v) for i, v in enumerate(loads)
        ],
        metrics=[of_samples(PAGE, loads, labels={"target": "http://192.0.2.10:8080/"})],
        series=[columns(PAGE.key, {"target": "http://192.0.2.10:8080/"}, loads, t=10.2, interval=3.0)],
    )
    missing = Error(
        class_="timeout",
        phase="delivery",
        code="WINDOW",
        message="sent in 0.9 s, not seen in 180 s",
        remedy="look into the spam folder, or give --window 300s",
    )
    mail = step(
        "mail",
        "mail_delivery",
        ["smtp://mail.example:587"],
        t=10.2,
        duration=60.0,
        verdict="fail",
        outcome="failure",
        error=missing,
        reason="attempts_failed",
        metrics=[of_samples(MAIL, [None])],
        log=[
            LogLine(t=11.1, level="info", text="250 2.0.0 accepted"),
            LogLine(t=70.1, level="warning", text="not seen"),
        ],
    )
    down = transfer(
        "down",
        DOWN,
        DOWN_INTERVAL,
        rates(100, 418e6, seed=3, dips=range(56, 61)),
        t=71.0,
        every=0.1,
        target="http://192.0.2.10:8080/speed/down",
    )
    down.metrics[0].quality_flags.append("probe_limited")
    up = transfer(
        "up",
        UP,
        UP_INTERVAL,
        rates(100, 38.6e6, seed=4, ramp=14),
        t=82.0,
        every=0.1,
        target="http://192.0.2.10:8080/speed/up",
        verdict="pass",
    )
    up.thresholds = [
        threshold(UP, "mean", up.metrics, verdict="pass", warn=">= 30 Mbit/s", fail=">= 20 Mbit/s")
    ]
    loaded_values = wave(100, 0.150, seed=5, spread=0.1, losses=(31, 32, 77))
    loaded = ping("loaded", {"192.0.2.1": loaded_values}, t=71.0, interval=0.1, verdict="warn", during="down")
    loaded.thresholds = [
        threshold(RTT, "p95", loaded.metrics, verdict="warn", warn="< 60 ms", fail="< 400 ms")
    ]
    again = [
        ping(f"again[{host}]", {host: wave(20, centre, seed=seed)}, t=t, interval=0.1, instance=host)
        for host, centre, seed, t in (("a.example", 0.0213, 6, 93.0), ("b.example", 0.0198, 7, 95.5))
    ]
    trace = step(
        "path",
        "trace",
        ["a.example"],
        t=98.0,
        duration=0.0,
        verdict="skipped",
        outcome="skipped",
        attempts=[],
        error=Error(
            class_="unsupported",
            phase="config",
            code="mtr",
            message="the program mtr is not installed",
            remedy="apt install mtr-tiny",
        ),
        reason="requirement",
    )
    raw = step(
        "raw",
        "ping",
        ["198.51.100.7"],
        t=98.0,
        duration=0.0,
        verdict="error",
        outcome="invalid",
        reason="invalid",
        error=Error(
            class_="permission",
            phase="config",
            code="EPERM",
            message="this user may not open a raw socket",
            remedy="sudo setcap cap_net_raw+ep $(readlink -f $(which python3))",
        ),
    )
    return report(
        [gateway_step, neighbours, page, mail, down, up, loaded, *again, trace, raw],
        run_precheck=Precheck(probe="ping", target="192.0.2.1", outcome="success", error=None, duration=0.21),
        run_data=DataUse(received_bytes=541_200_000, sent_bytes=48_300_000, limit_bytes=700_000_000),
        run_duration=112.3,
    )


def quick_ping(n: int = 25, losses: Sequence[int] = (13,)) -> Report:
    """One probe straight from the command line, nothing judged."""
    single = ping("ping", {"192.0.2.1": wave(n, 0.0117, seed=8, losses=losses)}, interval=0.2)
    return report(
        [single], seq=411, case=CaseRef(id="ping", version=None, sha256="0" * 64), job=Job(), tags={}
    )


def long_ping() -> Report:
    """400 samples with losses in a row, against two targets, one of them dead."""
    live = wave(400, 0.024, seed=9, losses=(20, 21, 22, 23, 150, 299, 300, 301))
    dead: list[Value | None] = [None] * 400
    lost = Error(class_="loss", phase="first_byte", code="NO_REPLY", message="no reply to 400 requests")
    both = ping(
        "ping", {"192.0.2.1": live, "192.0.2.99": dead}, verdict="fail", outcome="failure", error=lost
    )
    both.attempts[0] = attempt(0, "192.0.2.1", duration=8.0)
    both.reason = "attempts_failed"
    return report([both], seq=413, case=CaseRef(id="ping", version=None, sha256="0" * 64))


def lookups() -> Report:
    """States and few samples: statistics that could not be computed, with their reasons."""
    values = wave(5, 0.0031, seed=10)
    metrics = [
        of_samples(DNS, values, labels={"target": "www.example", "server": "192.0.2.53"}),
        of_samples(
            RCODE, ["NOERROR"] * 4 + ["SERVFAIL"], labels={"target": "www.example", "server": "192.0.2.53"}
        ),
    ]
    single = step(
        "dns_lookup",
        "dns_lookup",
        ["www.example"],
        metrics=metrics,
        params={"count": 5, "type": ["A", "AAAA"]},
    )
    return report([single], seq=414, case=CaseRef(id="dns_lookup", version=None, sha256="0" * 64))


def aborted() -> Report:
    """Stopped by Ctrl-C in the middle of the second step."""
    first = ping("gateway", {"192.0.2.1": wave(30, 0.011, seed=11)})
    cancelled = Error(class_="cancelled", phase="transfer", code="CANCELLED", message="cancelled")
    second = step(
        "down",
        "http_download",
        ["http://192.0.2.10/"],
        t=1.0,
        verdict="error",
        outcome="invalid",
        error=cancelled,
        reason="invalid",
    )
    third = step(
        "up",
        "http_upload",
        ["http://192.0.2.10/"],
        verdict="skipped",
        outcome="skipped",
        attempts=[],
        reason="run_aborted",
    )
    return report([first, second, third], run_state="aborted", run_reason="interrupted")


def nothing() -> Report:
    """Killed before any step ended: no steps, no context, no end."""
    document = report(
        [], run_state="aborted", run_reason="killed", run_end=None, run_duration=None, contexts=[]
    )
    document.verdict = "skipped"
    return document


def hostile() -> Report:
    """Everything that comes from outside tries to break out; names are long, and some are Chinese."""
    long_name = "a-very-long-step-name-" * 12
    chinese = "杭州市西湖区文三路四百七十八号华星时代广场宽带测试点"
    evil = ping(HOSTILE, {HOSTILE: wave(30, 0.02, seed=12, losses=(3,)), chinese: wave(30, 0.03, seed=13)})
    evil.params[HOSTILE] = HOSTILE
    evil.metrics[0].method[HOSTILE] = HOSTILE
    evil.metrics[0].quality_flags.append(HOSTILE)
    evil.log = [LogLine(t=0.1, level="info", text=HOSTILE)]
    evil.artifacts = [Artifact(name=HOSTILE, media_type="text/plain", bytes=12, sha256="ab" * 32)]
    broken = step(
        long_name,
        HOSTILE,
        [f"http://{'x' * 300}.example/"],
        verdict="fail",
        outcome="failure",
        reason=HOSTILE,
        error=Error(class_="protocol", phase="request", code=HOSTILE, message=HOSTILE, remedy=HOSTILE),
        metrics=[
            of_value(
                MetricDef("unknown_thing_ratio", "1", "aggregate", "", ""), 0.5, labels={HOSTILE: HOSTILE}
            )
        ],
    )
    return report(
        [evil, broken],
        case=CaseRef(id=HOSTILE, version=1, sha256="0" * 64, title={"en": HOSTILE, "zh": chinese}),
        job=Job(id=HOSTILE, customer=chinese, site=HOSTILE, notes=[HOSTILE, chinese]),
        tags={HOSTILE: HOSTILE},
        agent={"name": HOSTILE},
    )


def graded() -> Report:
    """Every finding of validity, and each grade."""
    found: dict[str, tuple[Grade, dict[FindingCode, dict[str, Value]]]] = {
        "full": ("high", {"link_limited": {"loaded_rtt_seconds": 0.0202, "min_rtt_seconds": 0.0101}}),
        "held": (
            "low",
            {
                "window_limited": {"window_full_seconds": 3.5, "watched_seconds": 3.9},
                "probe_limited": {"process_cpu_ratio": 0.97},
                "not_stabilised": {"attempts": 1},
                "few_samples": {"attempts": 1},
            },
        ),
        "slow": ("low", {"server_limited": {"paused_seconds": 3.2, "window_seconds": 3.8}}),
        "delayed": (
            "low",
            {
                "changed_network": {"changes": "address"},
                "cross_traffic": {"other_received_bytes": 1_234_567},
                "unsynchronised_clock": {"attempts_between_two_clocks": 1},
            },
        ),
        "unknown": ("medium", {}),
        "calm": ("medium", {}),
    }
    url = "http://192.0.2.10:8080/speed/down"
    steps = [
        transfer(key, DOWN, DOWN_INTERVAL, rates(20, 4e6, seed=place), t=3.0 * place, every=0.1, target=url)
        for place, key in enumerate(("full", "held", "slow", "unknown"))
    ]
    steps += [ping(key, {"192.0.2.1": wave(20, 0.02, seed=9)}, t=20.0) for key in ("delayed", "calm")]
    for each in steps:
        grade, findings = found[each.key]
        each.validity = Validity(
            grade=grade,
            findings=[Finding(code=code, evidence=evidence) for code, evidence in findings.items()],
        )
        each.nulls = {}
    return report(steps)


ALL = {
    "office": office,
    "graded": graded,
    "quick_ping": quick_ping,
    "long_ping": long_ping,
    "lookups": lookups,
    "aborted": aborted,
    "nothing": nothing,
    "hostile": hostile,
}
