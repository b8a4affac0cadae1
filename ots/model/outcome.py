"""Closed vocabularies: outcomes, verdicts, error classes and phases, and how they roll up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Outcome = Literal["success", "failure", "invalid", "skipped"]
Verdict = Literal["fail", "error", "warn", "pass", "measured", "skipped"]
RunState = Literal["created", "running", "completed", "aborted"]

ErrorClass = Literal[
    "dns",
    "unreachable",
    "refused",
    "connect",
    "timeout",
    "tls",
    "auth",
    "rejected",
    "protocol",
    "content",
    "cutoff",
    "stalled",
    "loss",
    "radio",
    "unsupported",
    "permission",
    "resource",
    "license",
    "config",
    "cancelled",
    "internal",
]

Phase = Literal[
    "config",
    "license",
    "radio",
    "bearer",
    "resolve",
    "connect",
    "proxy",
    "tls",
    "login",
    "request",
    "first_byte",
    "transfer",
    "verify",
    "teardown",
    "delivery",
    "playback",
    "call_setup",
    "call_hold",
    "analysis",
]

QualityFlag = Literal[
    "probe_limited",
    "cross_traffic",
    "clock_step",
    "clock_limited",
    "clock_unsynced",
    "few_samples",
    "context_changed",
    "proxy_suspected",
    "captive_portal",
    "cache_hit",
    "connection_reused",
    "rate_limited",
    "schedule_slip",
    "derived",
    "simulated",
    "concurrent",
    "out_of_range",
    "mock_location",
    "provisional",
    "suspicious_local",
]

_INVALID: frozenset[ErrorClass] = frozenset(
    {"permission", "resource", "license", "config", "cancelled", "internal"}
)

_SEVERITY: tuple[Verdict, ...] = get_args(Verdict)


def outcome_of(error_class: ErrorClass) -> Outcome:
    """The side an error class falls on.

    `failure` is the network's or the service's and counts in every ratio; `invalid` is ours and counts in
    none; `skipped` means that the peer or the machine has no such thing.
    """
    if error_class == "unsupported":
        return "skipped"
    return "invalid" if error_class in _INVALID else "failure"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Roll verdicts up: fail > error > warn > pass > measured > skipped. Of nothing: `skipped`."""
    return min(verdicts, key=_SEVERITY.index, default="skipped")


def roll_up_outcomes(outcomes: Iterable[Outcome]) -> Outcome:
    """A step's outcome: `success` if every valid attempt succeeded, `failure` if any failed.

    Without a valid attempt it is `invalid`, or `skipped` if nothing was tried.
    """
    seen = set(outcomes)
    if "failure" in seen:
        return "failure"
    if "success" in seen:
        return "success"
    return "invalid" if "invalid" in seen else "skipped"
