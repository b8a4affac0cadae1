"""From plans to what the policy judges: packets, rates, addressees, secrets and files."""

from __future__ import annotations

from ots.engine.planner import plan
from ots.license.policy import Everything
from ots.policy.planned import Intent
from ots.registry import kinds
from ots.schema.load import load_case
from ots.session.intent import PRECHECK, planned_of


def intents(
    steps: str, *, before: str = "", listed: frozenset[tuple[str, int]] = frozenset()
) -> list[Intent]:
    case = load_case(f"ots: 1\nid: case\n{before}steps:\n{steps}", "case.yaml", kinds(), {})
    return list(planned_of(plan(case, Everything()), listed=listed).intents)


def one(kind: str, target: str, params: str = "", more: str = "") -> Intent:
    (found,) = intents(f"  - {{id: a, probe: {kind}, target: {target!r}, params: {{{params}}}{more}}}\n")
    return found


def test_a_stream_is_its_count_and_its_interval() -> None:
    ping = one("ping", "8.8.8.8", "count: 50, warmup: 2, interval: 0.2 s", ", repeat: 3")
    assert (ping.packets, ping.rate, ping.packets_in_all) == (156, 5.0, 156)
    echo = one("udp_echo", "8.8.8.8:7", "count: 10, interval: 0.5 s")
    assert (echo.packets, echo.rate) == (14, 2.0)
    trace = one("trace", "8.8.8.8", "count: 2, interval: 3 s")
    assert (trace.packets, trace.rate) == (60, 10.0)


def test_targets_together_add_up_and_networks_share_their_rate() -> None:
    (both,) = intents(
        "  - {id: a, probe: ping, target: [8.8.8.8, 8.8.4.4], params: {count: 5, interval: 0.5 s}}\n"
    )
    assert (both.rate, both.rate_in_all, both.packets_in_all) == (2.0, 4.0, 10)
    (nets,) = intents(
        "  - {id: a, probe: ping, target: [10.0.0.0/30, 10.1.0.0/30], params: {sweep_rate: 7,"
        " sweep_count: 1}}\n"
    )
    assert (nets.rate_in_all, nets.packets_in_all) == (7.0, 8)
    assert [str(aim.network) for aim in nets.aims] == ["10.0.0.0/30", "10.1.0.0/30"]


def test_steps_side_by_side_share_a_moment() -> None:
    step = "{id: %s, probe: ping, target: 8.8.8.8, params: {interval: 0.5 s}}"
    side_by_side = intents(f"  - parallel: [{step % 'a'}, {step % 'b'}]\n")
    assert [each.rate_in_all for each in side_by_side] == [4.0, 4.0]
    after_each_other = intents(f"  - {step % 'a'}\n  - {step % 'b'}\n")
    assert [each.rate_in_all for each in after_each_other] == [2.0, 2.0]


def test_addressees_are_more_than_targets() -> None:
    assert [aim.host for aim in one("dns_lookup", "x.test", "server: '9.9.9.9:5353'").aims] == ["9.9.9.9"]
    assert one("dns_lookup", "x.test", "server: '2606:4700::1'").aims[0].port == 53
    proxied = one("http_download", "http://a.test/", "proxy: 'http://b.test:3129', connections: 4")
    assert [(aim.host, aim.port) for aim in proxied.aims] == [("a.test", 80), ("b.test", 3129)]
    assert proxied.flows == 4
    mail = one("mail_delivery", "smtp://a.test", "recipient: a@b.c, mailbox: 'imaps://c.test'")
    assert [aim.host for aim in mail.aims] == ["a.test", "c.test"]


def test_secrets_files_and_the_precheck_are_seen() -> None:
    check = one("http_check", "https://a.test/", "user: x, password: '${secret:mail}', ca_file: /etc/x")
    assert (check.secrets, check.files) == (frozenset({"mail"}), ("/etc/x",))
    before, _step = intents(
        "  - {id: a, probe: ping, target: 8.8.8.8}\n", before="precheck: {probe: ping, target: 10.0.0.1}\n"
    )
    assert (before.step, before.aims[0].host) == (PRECHECK, "10.0.0.1")


def test_listed_servers_are_known_by_host_and_port() -> None:
    step = "  - {id: a, probe: http_download, target: 'http://A.test:8080/x'}\n"
    (found,) = intents(step, listed=frozenset({("a.test", 8080)}))
    assert found.aims[0].consent == "listed"
    (other,) = intents(step, listed=frozenset({("a.test", 80)}))
    assert other.aims[0].consent is None
