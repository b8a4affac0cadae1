"""What a policy says to planned runs, without a network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest

from docs.generator.probes import built_in
from ots.policy.address import parse, place_of, whose
from ots.policy.aiming import Machine
from ots.policy.document import read_policy
from ots.policy.issuer import LOCAL, REMOTE, SCHEDULE, Issuer
from ots.policy.pattern import BadPattern, parse_pattern
from ots.policy.planned import Aim, Intent, Planned, Used
from ots.policy.policy import Policy
from ots.policy.presets import PRESETS, rule_of
from ots.policy.rule import HEAVY, LIGHT, NO_PORT, START_SPREAD
from ots.strictyaml import YamlError

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()
PUBLIC_HOST = "8.8.8.8"


def intent(
    kind: str = "ping",
    host: str = PUBLIC_HOST,
    *,
    port: int | None = None,
    packets: int = 10,
    rate: float = 1.0,
    flows: int = 1,
    moved: int | None = 1000,
    step: str = "a",
    secrets: frozenset[str] = frozenset(),
) -> Intent:
    network = ip_network(host) if "/" in host else None
    aim = Aim(host, host.partition("/")[0], port, network)
    return Intent(step, kind, (aim,), packets, rate, packets, rate, flows, moved, 5.0, secrets)


def planned(*intents: Intent, seconds: float = 5.0, seed: str = "one") -> Planned:
    return Planned(intents, seconds, sum(each.bytes or 0 for each in intents), seed=seed)


def document(text: str) -> Policy:
    return read_policy(f"ots_policy: 1\n{text}".encode(), "policy.yaml")


def codes(policy: Policy, what: Planned, issuer: Issuer = REMOTE, **more: object) -> list[str]:
    used = more.pop("used", Used())
    assert isinstance(used, Used)
    moment = more.pop("moment", NOON)
    assert isinstance(moment, float) and not more
    return [reason.code for reason in policy.decide(issuer, what, moment, used).reasons]


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b:1::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("2001:0:7f00:1::f7f7:f7f7", "loopback"),
        ("2001:0:808:808::80ff:fffe", "loopback"),
        ("2001:db8::5efe:7f00:1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("255.255.255.255", "broadcast"),
        ("::ffff:255.255.255.255", "broadcast"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("ff0e::1", "multicast"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("169.254.7.7", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("240.0.0.1", "reserved"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("192.0.2.1", "private"),
        ("fd12::1", "private"),
        ("fec0::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("2002:a00:1::", "private"),
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::8.8.8.8", "public"),
    ],
)
def test_an_address_is_what_it_carries(ip: str, place: str) -> None:
    assert place_of(parse(ip)) == place


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.1/8", "1.2.3.400", "http://x", "a b", "[::1", "x:0", "x:9-8", "x:70000", "*", "*.*.x"],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(BadPattern):
        parse_pattern(text)


def test_a_host_is_one_in_every_dress() -> None:
    assert {whose(ip) for ip in ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808")} == {"8.8.8.8"}
    assert whose("2606:4700::1") == whose("2606:4700::ffff:1") != whose("2606:4700:0:1::1")


def test_patterns_mean_networks_names_and_ports() -> None:
    web = parse_pattern("*.lab.example:443-444")
    assert web.fits_name("A.lab.Example.", 443) and web.fits_name("a.b.lab.example", None)
    assert not web.fits_name("a.lab.example", 80) and not web.fits_name("lab.example", 443)
    net = parse_pattern("[2001:db8::/32]:53")
    assert net.fits_address(ip_address("2001:db8::1"), 53)
    assert not net.fits_address(ip_address("2001:db8::1"), 54)
    inner = parse_pattern("10.0.0.0/8")
    assert inner.fits_address(ip_address("::ffff:10.2.3.4"), None)
    assert inner.holds(ip_network("10.1.0.0/16")) and not inner.holds(ip_network("10.0.0.0/7"))


def test_a_person_at_the_machine_is_bound_by_no_preset() -> None:
    what = planned(intent("http_download", "127.0.0.1", moved=None, flows=64), intent("ping", "10.0.0.0/8"))
    for policy in (Policy(), document("preset: none"), Policy(fault="broken")):
        assert policy.decide(LOCAL, what, NOON).allowed
        assert policy.decide(SCHEDULE, what, NOON).allowed
        assert not policy.watches(LOCAL)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (intent("http_download"), "kind"),
        (intent("some_plugin"), "kind"),
        (intent(host="127.0.0.1"), "target"),
        (intent(host="localhost"), "target"),
        (intent(host="metadata.google.internal"), "target"),
        (intent(host="10.1.2.3"), "target"),
        (intent(host="::ffff:169.254.169.254"), "target"),
        (intent(host="8.8.8.0/24"), "sweep"),
        (intent(rate=11.0), "rate"),
        (intent(packets=101), "packets"),
        (intent("tcp_connect", flows=33), "flows"),
        (intent(moved=65_000_000), "bytes"),
        (intent("http_check", secrets=frozenset({"env:HOME"})), "secret"),
    ],
)
def test_without_a_file_a_server_may_do_light_things_to_the_public_only(what: Intent, code: str) -> None:
    assert codes(Policy(), planned(intent())) == []
    assert code in codes(Policy(), planned(what))
    both = Policy().decide(REMOTE, planned(intent(step="good"), replace(what, step="bad")), NOON)
    assert [reason.code for reason in both.of("bad")][:1] == [code]
    assert both.allowed == (code != "bytes")


def test_none_and_a_damaged_document_leave_nothing_to_a_server() -> None:
    assert "issuer" in codes(document("preset: none"), planned(intent()))
    assert "damaged" in codes(Policy(fault="policy.yaml:1:1: broken"), planned(intent()))


def test_private_networks_only_where_they_are_listed() -> None:
    policy = document("remote: {targets: [public, '10.1.0.0/16', '10.2.0.0/16:443']}")
    assert codes(policy, planned(intent(host="10.1.2.3"))) == []
    assert codes(policy, planned(intent(host="10.3.2.3"))) == ["target"]
    assert codes(policy, planned(intent("tcp_connect", "10.2.0.1", port=443))) == []
    assert codes(policy, planned(intent("tcp_connect", "10.2.0.1", port=80))) == ["target"]
    assert codes(policy, planned(intent(host="10.1.5.0/24"))) == []
    assert codes(policy, planned(intent(host="10.0.0.0/8"))) == ["sweep"]


def test_what_is_always_denied_can_not_be_listed() -> None:
    everything = "remote: {targets: ['0.0.0.0/0', '::/0'], trusted: ['0.0.0.0/0', '::/0']}"
    for host in ("127.0.0.1", "169.254.169.254", "fd00:ec2::254", "224.0.0.1", "0.0.0.0", "fe80::1"):
        assert codes(document(everything), planned(intent(host=host))) == ["target"]


def test_this_machine_and_its_server_are_no_targets() -> None:
    machine = Machine(
        frozenset({ip_address("203.0.113.9")}),
        frozenset({ip_address("203.0.113.255")}),
        frozenset({("198.51.100.1", 443), ("ots.example", 443)}),
    )
    policy = replace(
        document("remote: {targets: ['203.0.113.0/24', '198.51.100.0/24', public]}"), machine=machine
    )
    assert codes(policy, planned(intent(host="203.0.113.9"))) == ["target"]
    assert codes(policy, planned(intent(host="203.0.113.255"))) == ["target"]
    assert codes(policy, planned(intent(host="203.0.113.8"))) == []
    assert codes(policy, planned(intent("tcp_connect", "198.51.100.1", port=443))) == ["target"]
    assert codes(policy, planned(intent("tcp_connect", "ots.example", port=443))) == ["target"]
    assert codes(policy, planned(intent("tcp_connect", "198.51.100.1", port=80))) == []


def test_heavy_kinds_need_consent() -> None:
    policy = document("preset: standard\nremote: {trusted: ['8.8.4.0/24', speed.example]}")
    load = intent("http_download", flows=4, moved=10_000_000)
    assert codes(policy, planned(load)) == ["consent"]
    agreed = replace(load, aims=(replace(load.aims[0], consent="declared"),))
    assert codes(policy, planned(agreed)) == []
    assert codes(policy, planned(intent("http_download", "8.8.4.4", flows=64))) == []
    assert codes(policy, planned(intent("http_download", "speed.example"))) == []
    assert "consent" in codes(policy, planned(intent("tcp_connect", flows=7)))


def test_hours_are_those_of_their_zone_and_go_over_midnight() -> None:
    policy = document("remote: {hours: [{from: '22:00', to: '06:00', zone: Asia/Shanghai, days: [wed]}]}")

    def at(day: int, hour: int) -> list[str]:
        return codes(policy, planned(intent()), moment=datetime(2026, 3, day, hour, tzinfo=UTC).timestamp())

    assert at(4, 14) == [] and at(4, 21) == []  # Wednesday 22:00 and Thursday 05:00 in Shanghai
    assert at(4, 13) == ["hours"] and at(4, 22) == ["hours"] and at(5, 14) == ["hours"]
    reason = policy.decide(REMOTE, planned(intent()), datetime(2026, 3, 4, 13, tzinfo=UTC).timestamp())
    assert [each.text for each in reason.reasons] == ["runs only at wed 22:00-06:00 Asia/Shanghai"]


def test_hours_follow_daylight_saving_as_the_windows_of_schedules_do() -> None:
    """On 29 March 2026 Berlin has no hour from 2 to 3: what would begin then begins at 3."""
    policy = document("remote: {hours: [{from: '02:30', to: '04:00', zone: Europe/Berlin}]}")

    def at(hour: int, minute: int) -> list[str]:
        moment = datetime(2026, 3, 29, hour, minute, tzinfo=UTC).timestamp()
        return codes(policy, planned(intent()), moment=moment)

    assert [at(0, 59), at(1, 29), at(1, 30), at(1, 59), at(2, 0)] == [["hours"], ["hours"], [], [], ["hours"]]


def test_amounts_of_the_day_and_of_the_run() -> None:
    policy = document("remote: {bytes_per_day: 1 MB, duration: 1 min}\nschedule: {bytes_per_day: 2 MB}")
    assert codes(policy, planned(intent(moved=600_000)), used=Used(bytes_today=500_000)) == ["bytes_per_day"]
    assert codes(policy, planned(intent(), seconds=61)) == ["duration"]
    assert codes(policy, planned(intent(moved=3_000_000)), SCHEDULE) == ["bytes_per_day"]


def test_one_run_a_minute_to_a_stranger_and_a_start_spread_over_a_minute() -> None:
    assert codes(Policy(), planned(intent()), used=Used(asked={PUBLIC_HOST: NOON - 59})) == ["too_often"]
    assert codes(Policy(), planned(intent()), used=Used(asked={PUBLIC_HOST: NOON - 61})) == []
    trusting = document(f"remote: {{trusted: [{PUBLIC_HOST}]}}")
    assert trusting.decide(REMOTE, planned(intent()), NOON).start_delay == 0
    delays = [
        Policy().decide(REMOTE, planned(intent(), seed=f"agent-{number}"), NOON).start_delay
        for number in range(400)
    ]
    assert all(0 <= delay < START_SPREAD for delay in delays)
    for quarter in range(4):
        share = sum(quarter * 15 <= delay < (quarter + 1) * 15 for delay in delays)
        assert 60 < share < 140


def test_a_list_of_hosts_or_ports_is_a_scan_too() -> None:
    hosts = [intent("ping", f"8.8.{number // 256}.{number % 256}", step=str(number)) for number in range(65)]
    assert codes(Policy(), planned(*hosts)) == ["sweep"]
    assert codes(Policy(), planned(*hosts[:64])) == []
    ports = [intent("tcp_connect", port=number, step=str(number)) for number in range(1, 10)]
    assert codes(Policy(), planned(*ports)) == ["sweep"]
    assert codes(document("remote: {trusted: [8.8.0.0/16]}"), planned(*hosts, *ports)) == []


def test_steps_add_up() -> None:
    halves = [intent(packets=60, step="a"), intent(packets=60, step="b")]
    assert codes(Policy(), planned(*halves)) == ["packets"]
    few = document("remote: {packets: 100, trusted: [8.8.0.0/16]}")
    assert codes(few, planned(*halves)) == ["packets"]
    assert codes(few, planned(halves[0])) == []


def test_an_entry_for_some_ports_means_nothing_that_has_none() -> None:
    policy = document("remote: {targets: ['8.8.8.0/24:443']}")
    assert codes(policy, planned(intent(port=NO_PORT))) == ["target"]
    assert codes(policy, planned(intent("tcp_connect", port=443))) == []


def test_every_kind_that_ships_has_its_place() -> None:
    assert {probe.kind for probe in built_in()} == LIGHT | HEAVY | {"mail_fetch"}
    assert not LIGHT & HEAVY


def test_roles_and_projects_can_be_named() -> None:
    policy = document("remote: {roles: [manager], projects: [north]}")
    assert codes(policy, planned(intent()), Issuer(kind="remote", role="manager", project="north")) == []
    assert codes(policy, planned(intent()), Issuer(kind="remote", role="viewer", project="north")) == [
        "issuer"
    ]
    assert codes(policy, planned(intent())) == ["issuer", "issuer"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("remote: {targets: [any]}", "2:20"),
        ("remote: {heavy: any}", "2:17"),
        ("remote: {packets_per_second: 0}", "2:30"),
        ("remote: {bytes_per_day: 5}", "2:25"),
        ("remote: {hours: [{from: '25:00', to: '06:00'}]}", "2:18"),
        ("remote: {hours: [{from: '05:00', to: '06:00', zone: Mars/Base}]}", "2:53"),
        ("local: {probes: [ping]}", "2:8"),
        ("preset: generous", "2:9"),
        ("remote: {targets: [10.0.0.1/8]}", "2:20"),
    ],
)
def test_a_wrong_document_says_where(text: str, place: str) -> None:
    with pytest.raises(YamlError) as error:
        document(text)
    assert f"policy.yaml:{place}: " in str(error.value)


@pytest.mark.parametrize("text", [b"", b"[1]", b"\xff\xfe", b"ots_policy: 2", b"a" * 300_000, b"{" * 5000])
def test_garbage_is_no_policy(text: bytes) -> None:
    with pytest.raises(YamlError):
        read_policy(text, "policy.yaml")


def test_presets_grow() -> None:
    assert [rule_of(name, "remote").heavy for name in PRESETS] == ["never", "never", "consented"]
    kinds = [rule_of(name, "remote").probes or frozenset() for name in PRESETS]
    assert kinds[0] < kinds[1] < kinds[2]
