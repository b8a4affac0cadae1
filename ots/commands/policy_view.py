"""A policy and what it says to a case, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ots.clock import rfc3339
from ots.i18n import _
from ots.policy.decision import Decision, Refusal
from ots.policy.explanation import Explained
from ots.policy.issuer import Issuer
from ots.policy.policy import Policy
from ots.policy.rule import NOTHING, Rule
from ots.session.hold import Hold
from ots.units import display


def policy_document(policy: Policy, hold: Hold | None) -> dict[str, Any]:
    """The policy in force; numbers in packets, bytes and seconds, null for no limit."""
    return {
        "source": policy.source,
        "fault": policy.fault,
        "held": None if hold is None else {"by": hold.by, "reason": hold.reason, "since": hold.since},
        "remote": rule_document(NOTHING if policy.fault is not None else policy.remote),
        "schedule": rule_document(policy.schedule),
    }


def rule_document(rule: Rule) -> dict[str, Any]:
    """One rule."""
    return {
        "probes": None if rule.probes is None else sorted(rule.probes),
        "targets": [pattern.text for pattern in rule.targets],
        "trusted": [pattern.text for pattern in rule.trusted],
        "heavy": rule.heavy,
        "packets_per_second": rule.packets_per_second,
        "packets": rule.packets,
        "flows": rule.flows,
        "bytes_per_run": rule.bytes_per_run,
        "bytes_per_day": rule.bytes_per_day,
        "duration": rule.duration,
        "hours": [str(hours) for hours in rule.hours],
        "roles": sorted(rule.roles),
        "projects": sorted(rule.projects),
        "secrets": None if rule.secrets is None else sorted(rule.secrets),
    }


def policy_lines(policy: Policy, hold: Hold | None) -> Iterator[str]:
    """The policy for a person."""
    yield _("Policy: {source}").format(source=policy.source)
    if hold is not None:
        yield _("Held: {hold}").format(hold=hold)
    if policy.fault is not None:
        yield _("It can't be used, so nothing remote runs:")
        yield from (f"  {line}" for line in policy.fault.splitlines())
    yield _("What a server may run on this machine:")
    yield from _rule_lines(NOTHING if policy.fault is not None else policy.remote)
    yield _("What a schedule of this machine may run:")
    yield from _rule_lines(policy.schedule)


def _rule_lines(rule: Rule) -> Iterator[str]:
    if rule.nothing:
        yield "  " + _("nothing")
        return
    if rule.limitless:
        yield "  " + _("everything that the probes allow")
        return
    heavy = {
        "never": _("never"),
        "consented": _("only hosts that have agreed to it"),
        "any": _("any host"),
    }
    rows = [
        (_("kinds"), _("all") if rule.probes is None else ", ".join(sorted(rule.probes))),
        (_("targets"), ", ".join(pattern.text for pattern in rule.targets) or _("none")),
        (_("trusted hosts"), ", ".join(pattern.text for pattern in rule.trusted)),
        (_("load"), heavy[rule.heavy]),
        (_("packets a second"), _number(rule.packets_per_second)),
        (_("packets a run"), _number(rule.packets)),
        (_("connections at once"), _number(rule.flows)),
        (_("data a run"), _size(rule.bytes_per_run)),
        (_("data a day"), _size(rule.bytes_per_day)),
        (_("a run takes"), None if rule.duration is None else display(rule.duration, "s")),
        (_("hours"), ", ".join(map(str, rule.hours))),
        (_("roles"), ", ".join(sorted(rule.roles))),
        (_("projects"), ", ".join(sorted(rule.projects))),
        (_("secrets"), _("all") if rule.secrets is None else ", ".join(sorted(rule.secrets)) or _("none")),
    ]
    yield from (f"  {title}: {text}" for title, text in rows if text)


def explained_document(
    policy: Policy, issuer: Issuer, decision: Decision, steps: Sequence[Explained], moment: float
) -> dict[str, Any]:
    """The decision as JSON."""
    return {
        "policy": {"source": policy.source, "fault": policy.fault},
        "issuer": {"kind": issuer.kind, "role": issuer.role, "project": issuer.project},
        "at": rfc3339(moment),
        "allowed": decision.allowed,
        "start_delay_seconds": round(decision.start_delay, 3),
        "reasons": [_reason(reason) for reason in decision.reasons if reason.step is None],
        "steps": [
            {
                "step": each.intent.step,
                "probe": each.intent.kind,
                "allowed": not each.reasons,
                "targets": [
                    {"target": target.target, "entry": target.entry, "consent": target.consent}
                    for target in each.targets
                ],
                "packets": each.intent.packets_in_all,
                "packets_per_second": round(each.intent.rate_in_all, 6),
                "flows": each.intent.flows,
                "bytes": each.intent.bytes,
                "reasons": [_reason(reason) for reason in each.reasons],
            }
            for each in steps
        ],
        "rule": rule_document(policy.rule(issuer)),
    }


def explained_lines(
    policy: Policy, issuer: Issuer, decision: Decision, steps: Sequence[Explained]
) -> Iterator[str]:
    """The decision for a person."""
    who = {"local": _("a person here"), "schedule": _("a schedule"), "remote": _("a server")}[issuer.kind]
    said = _("{who} may run it") if decision.allowed else _("{who} may not run it")
    yield said.format(who=who) + f"   ({policy.source})"
    yield from (f"  {_x(reason)}" for reason in decision.reasons if reason.step is None)
    for each in steps:
        own = [reason for reason in each.reasons if reason.step is not None]
        yield f"  {'✘' if each.reasons else '✔'} {each.intent.step}   {each.intent.kind}"
        for target in each.targets[:20]:
            by = (
                _("allowed by {entry}").format(entry=target.entry)
                if target.entry
                else _("no entry allows it")
            )
            agreed = "" if target.consent is None else "   " + _("has agreed to a load")
            yield f"      {target.target}   {by}{agreed}"
        if len(each.targets) > 20:
            yield "      " + _("and {n} more").format(n=len(each.targets) - 20)
        yield from (f"    {_x(reason)}" for reason in own)
    if decision.start_delay:
        yield _("starts within {n} s, at a moment of the agent's own").format(n=60)


def _x(reason: Refusal) -> str:
    return f"✘ {reason.text}   [{reason.code}]"


def _reason(reason: Refusal) -> dict[str, str]:
    return {"code": reason.code, "text": reason.text}


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _size(value: int | None) -> str | None:
    return None if value is None else display(float(value), "By")
