"""The closed vocabularies in words, and the reader's language for a renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ots.i18n import N_, catalogue
from ots.model.outcome import Verdict
from ots.reports.plain import plain

VERDICTS: dict[Verdict, str] = {
    "pass": N_("pass"),
    "warn": N_("warn"),
    "fail": N_("fail"),
    "measured": N_("measured"),
    "error": N_("error"),
    "skipped": N_("skipped"),
}
"""In the order in which the six counts are printed."""

MARKS: dict[Verdict, str] = {
    "pass": "✔",
    "measured": "·",
    "fail": "✘",
    "warn": "!",
    "error": "?",
    "skipped": "–",
}

OUTCOMES = {
    "success": N_("success"),
    "failure": N_("failure"),
    "invalid": N_("invalid"),
    "skipped": N_("skipped"),
}

STATES = {
    "created": N_("created"),
    "running": N_("running"),
    "completed": N_("completed"),
    "aborted": N_("aborted"),
}

LICENCE_STATES = {
    "valid": N_("valid"),
    "refresh-due": N_("valid, a newer one is due"),
    "grace": N_("ended, still honoured in its days of grace"),
    "expired": N_("expired"),
    "not-yet-valid": N_("not valid yet"),
    "revoked": N_("withdrawn by its issuer"),
    "revocations-missing": N_("not honoured without a newer list of withdrawn licences"),
    "binding-mismatch": N_("for another agent or project"),
    "serial-rollback": N_("replaced by a newer one that was in force here"),
    "bad-signature": N_("changed after it was signed"),
    "unknown-key": N_("signed by somebody who is not trusted here"),
    "malformed": N_("no licence that this version can read"),
}

ERROR_CLASSES = {
    "dns": N_("the name did not resolve"),
    "unreachable": N_("unreachable"),
    "refused": N_("connection refused"),
    "connect": N_("no connection"),
    "timeout": N_("timed out"),
    "tls": N_("TLS failed"),
    "auth": N_("credentials rejected"),
    "rejected": N_("request rejected"),
    "protocol": N_("protocol violated"),
    "content": N_("wrong content"),
    "cutoff": N_("cut off"),
    "stalled": N_("stalled"),
    "loss": N_("nothing came back"),
    "radio": N_("radio failure"),
    "unsupported": N_("not supported"),
    "permission": N_("right missing"),
    "resource": N_("local resources exhausted"),
    "license": N_("not licensed"),
    "config": N_("wrong configuration"),
    "cancelled": N_("cancelled"),
    "internal": N_("internal error"),
}

ERROR_CODES = {
    "POLICY": N_("forbidden by this machine's policy"),
}
"""Codes that say more than their class."""

PHASES = {
    "config": N_("configuration"),
    "license": N_("licence"),
    "radio": N_("radio"),
    "bearer": N_("bearer"),
    "resolve": N_("name resolution"),
    "connect": N_("connecting"),
    "proxy": N_("proxy"),
    "tls": N_("TLS handshake"),
    "login": N_("login"),
    "request": N_("request"),
    "first_byte": N_("first byte"),
    "transfer": N_("transfer"),
    "verify": N_("verification"),
    "teardown": N_("teardown"),
    "delivery": N_("delivery"),
    "playback": N_("playback"),
    "call_setup": N_("call set-up"),
    "call_hold": N_("call"),
    "analysis": N_("analysis"),
}

FLAGS = {
    "probe_limited": N_("limited by this machine"),
    "cross_traffic": N_("other traffic on the link"),
    "clock_step": N_("the clock was stepped"),
    "clock_limited": N_("limited by the clocks' error"),
    "clock_unsynced": N_("clock not synchronised"),
    "few_samples": N_("few samples"),
    "context_changed": N_("the attachment changed meanwhile"),
    "proxy_suspected": N_("a proxy is suspected"),
    "captive_portal": N_("captive portal"),
    "cache_hit": N_("answered from a cache"),
    "connection_reused": N_("connection reused"),
    "rate_limited": N_("the target limits the rate"),
    "schedule_slip": N_("packets left late"),
    "derived": N_("derived, not measured directly"),
    "simulated": N_("simulated"),
    "concurrent": N_("other steps ran meanwhile"),
    "out_of_range": N_("out of the measurable range"),
    "mock_location": N_("mock location"),
    "provisional": N_("provisional"),
    "suspicious_local": N_("suspiciously fast: answered locally?"),
}

GRADES = {
    "high": N_("high"),
    "medium": N_("medium"),
    "low": N_("low"),
}

FINDINGS = {
    "link_limited": N_("the link was the limit"),
    "probe_limited": N_("limited by this machine"),
    "server_limited": N_("limited by the server"),
    "window_limited": N_("limited by the receiver's window"),
    "not_stabilised": N_("the rate had not settled"),
    "changed_network": N_("the attachment changed meanwhile"),
    "cross_traffic": N_("other traffic on the link"),
    "unsynchronised_clock": N_("the clock is not synchronised"),
    "few_samples": N_("few samples"),
}

# A reason may carry an argument after a colon, which stands for {step}.
REASONS = {
    "too_few_samples": N_("too few samples"),
    "no_samples": N_("no samples"),
    "loss": N_("lost"),
    "undefined": N_("not defined for these samples"),
    "no_load": N_("the loading step never ran"),
    "killed": N_("the program was killed"),
    "interrupted": N_("interrupted"),
    "terminated": N_("terminated"),
    "timeout": N_("timed out"),
    "not_supported": N_("not supported"),
    "not_measured": N_("not measured"),
    "not_available": N_("not available"),
    "no_device": N_("no such device"),
    "no_permission": N_("right missing"),
    "borderline": N_("too close to the limit to tell"),
    "threshold": N_("a limit was breached"),
    "invalid": N_("no valid attempt"),
    "attempts_failed": N_("attempts failed"),
    "every_attempt_failed": N_("every attempt failed"),
    "no_metric": N_("there is no such figure in the result"),
    "missing": N_("missing"),
    "condition_false": N_("its condition did not hold"),
    "run_aborted": N_("the run ended before"),
    "precheck_failed": N_("the precheck failed"),
    "precheck_skipped": N_("the precheck failed, so nothing was run"),
    "stopped_after": N_("stopped after {step}"),
    "aborted_by_threshold": N_("ended early by a breached limit"),
    "time_limit": N_("the time limit was reached"),
    "requirement": N_("something it needs is missing"),
    "failed_as_expected": N_("failed, as expected"),
    "succeeded_unexpectedly": N_("succeeded although a failure was expected"),
    "not_run": N_("not run"),
    "not_graded": N_("not graded"),
    "no_radio_support": N_("no radio support"),
    "no_receiver": N_("no receiver"),
    "no_interface": N_("no interface"),
    "no_route": N_("no route"),
    "not_asked": N_("not asked for"),
    "not_wifi": N_("not a Wi-Fi interface"),
    "not_told_by_driver": N_("the driver does not tell"),
    "not_told_by_system": N_("the system does not tell"),
    "not_told_by_firmware": N_("the firmware does not tell"),
    "not_told": N_("not told"),
    "not_read": N_("not read"),
    "not_configured": N_("not configured"),
    "none_found": N_("none found"),
    "no_battery": N_("no battery"),
    "too_soon": N_("too soon to tell"),
    "not_synchronised": N_("not synchronised"),
    "unreadable": N_("not readable ({step})"),
    "not_reached": N_("not reached"),
    "no_lookups": N_("addresses are not looked up anywhere"),
}
"""Reasons that recur; any other reason is shown as it was written."""

STATS = {
    "min": N_("min"),
    "max": N_("max"),
    "mean": N_("mean"),
    "median": N_("median"),
    "stddev": N_("std. dev."),
    "mdev": N_("mdev"),
    "mean_abs": N_("mean |x|"),
    "mode": N_("most often"),
    "first": N_("first"),
    "distinct": N_("different values"),
    "sum": N_("sum"),
    "histogram": N_("histogram"),
    "value": N_("value"),
    "mad": N_("MAD"),
    "cv": N_("coeff. of variation"),
    "tm95": N_("trimmed mean"),
    "ci95_low": N_("95 % interval"),
    "ci95_high": N_("95 % interval"),
}

LABELS = {
    "target": N_("target"),
    "direction": N_("direction"),
    "family": N_("family"),
    "server": N_("server"),
    "segment": N_("segment"),
    "hop": N_("hop"),
    "address": N_("address"),
    "down": N_("down"),
    "up": N_("up"),
}
"""Names and well-known values of labels."""


FACTS = {
    "address": N_("address"),
    "agent": N_("agent"),
    "agent_id": N_("id"),
    "auth": N_("log-in"),
    "cache": N_("cache"),
    "case": N_("case"),
    "connect_stamps": N_("connect stamps"),
    "connections": N_("connections"),
    "connections_per_host": N_("connections to one host"),
    "count": N_("count"),
    "counted_at": N_("counted at"),
    "cpu": N_("CPU"),
    "e2e_start": N_("end to end from"),
    "error_bound": N_("error up to"),
    "expect_text": N_("text expected"),
    "family": N_("family"),
    "first_interim": N_("first interim answer"),
    "gateway": N_("gateway"),
    "http_version": N_("HTTP version"),
    "flow": N_("flow"),
    "interface": N_("interface"),
    "interface_mtu": N_("MTU of the interface"),
    "interval": N_("interval"),
    "jump": N_("jump"),
    "link": N_("link"),
    "load_1m": N_("load over 1 min"),
    "loop_lag_max": N_("event loop late by at most"),
    "loop_lag_p99": N_("event loop late by p99"),
    "mailbox_address": N_("mailbox address"),
    "mailbox_auth": N_("mailbox log-in"),
    "mailbox_tls": N_("mailbox TLS"),
    "max_hops": N_("hops at most"),
    "max_resources": N_("most resources"),
    "max_size": N_("largest size"),
    "memory_available": N_("memory free"),
    "mode": N_("mode"),
    "noticed_by": N_("noticed by"),
    "offset": N_("offset"),
    "ots_version": N_("version of OTS"),
    "page_timeout": N_("time for the page"),
    "port": N_("port"),
    "process_cpu": N_("CPU of this process"),
    "protocol": N_("protocol"),
    "probes": N_("probes"),
    "proxy": N_("proxy"),
    "requests": N_("requests"),
    "resolution": N_("resolution"),
    "resources": N_("resources"),
    "schedule": N_("schedule"),
    "schedule_slips": N_("sent late"),
    "server": N_("server"),
    "size": N_("size"),
    "socket": N_("socket"),
    "source": N_("source"),
    "speed_method": N_("rate by"),
    "stamps": N_("stamps"),
    "status": N_("status"),
    "step": N_("step"),
    "stop_reason": N_("stopped by"),
    "timeout": N_("timeout"),
    "timestamp_source": N_("stamps"),
    "tls": N_("TLS"),
    "version": N_("version"),
    "warmup": N_("warm-up"),
    "window": N_("window"),
}
"""Names of facts that often stand in a report; any other is shown as it is, with spaces."""

STATE_WORDS = {
    "open": N_("value: open"),
    "closed": N_("value: closed"),
    "filtered": N_("value: filtered"),
    "periodic": N_("value: periodic"),
    "poisson": N_("value: poisson"),
    "kernel": N_("value: kernel"),
    "kernel_rx": N_("value: kernel_rx"),
    "user": N_("value: user"),
    "raw": N_("value: raw"),
    "datagram": N_("value: datagram"),
    "system": N_("value: system"),
    "socket": N_("value: socket"),
    "duration": N_("value: duration"),
    "size": N_("value: size"),
    "data_budget": N_("value: data_budget"),
    "end_of_file": N_("value: end_of_file"),
    "idle": N_("value: idle"),
    "poll": N_("value: poll"),
    "search": N_("value: search"),
    "accepted": N_("value: accepted"),
    "starttls": N_("value: starttls"),
    "implicit": N_("value: implicit"),
    "light mode": N_("value: light mode"),
    "explicit": N_("value: explicit"),
    "none": N_("value: none"),
    "constant": N_("value: constant"),
    "several": N_("value: several"),
    "auto": N_("value: auto"),
}
"""Values of states and of facts about the method that recur. In English they stand for themselves; their
messages are marked as values, since another language has a word of its own for a port that is open."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `gettext` is meant to be bound to `_` in the function that uses it."""

    language: str

    @property
    def gettext(self) -> Callable[[str], str]:
        translations = catalogue(self.language)
        return lambda message: translations.gettext(message) if message else ""

    @property
    def ngettext(self) -> Callable[[str, str, int], str]:
        return catalogue(self.language).ngettext

    def verdict(self, verdict: Verdict) -> str:
        return self.gettext(VERDICTS[verdict])

    def of(self, vocabulary: dict[str, str], name: str) -> str:
        """A name of a vocabulary in words; one that is not in it (from a newer version) as it is."""
        return self.gettext(vocabulary[name]) if name in vocabulary else plain(name)

    def fact(self, name: str) -> str:
        """The name of a fact about circumstances or method."""
        return self.gettext(FACTS[name]) if name in FACTS else plain(name).replace("_", " ")

    def state(self, value: object) -> str:
        """A value that is a word: a known one in the reader's language, any other as it is."""
        message = STATE_WORDS.get(value) if isinstance(value, str) else None
        told = None if message is None else self.gettext(message)
        return plain(value) if told is None or told == message else told

    def reason(self, reason: str) -> str:
        """Why something is missing: a known code in words, a sentence through the catalogue."""
        if reason in REASONS:
            return self.gettext(REASONS[reason])
        if reason in ERROR_CLASSES:
            return self.gettext(ERROR_CLASSES[reason])
        text = self.gettext(reason)
        return plain(text if " " in text else text.replace("_", " "))
