"""Which entry of the policy lets a step pass, and what else stands in its way."""

from __future__ import annotations

from dataclasses import dataclass

from ots.policy.address import parse
from ots.policy.aiming import aim_fault, literal_of, trusts
from ots.policy.decision import Decision, Refusal
from ots.policy.issuer import Issuer
from ots.policy.pattern import ANY, PUBLIC
from ots.policy.planned import Aim, Intent, Planned
from ots.policy.policy import Policy
from ots.policy.rule import Rule


@dataclass(frozen=True, slots=True)
class Allowed:
    """An addressee, the entry that allows it (None: none does, or it has to be looked up first), and why it
    may be loaded, if it may."""

    target: str
    entry: str | None
    consent: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """A step, what it comes to, who it sends to, and why it may not run."""

    intent: Intent
    targets: tuple[Allowed, ...]
    reasons: tuple[Refusal, ...]


def explain(policy: Policy, issuer: Issuer, planned: Planned, decision: Decision) -> list[Explained]:
    """Every step of a decided plan."""
    rule = policy.rule(issuer)
    return [
        Explained(
            intent,
            tuple(_allowed(policy, rule, aim, remote=issuer.kind == "remote") for aim in intent.aims),
            tuple(decision.of(intent.step)),
        )
        for intent in planned.intents
    ]


def _allowed(policy: Policy, rule: Rule, aim: Aim, *, remote: bool) -> Allowed:
    forbidden = aim_fault(rule, policy.machine, aim, remote=remote) is not None
    return Allowed(aim.text, None if forbidden else entry_of(rule, aim), _consent(rule, aim))


def entry_of(rule: Rule, aim: Aim) -> str | None:
    """The text of the entry that allows an aim, as far as that shows without looking it up."""
    literal = None if aim.network is not None else literal_of(aim.host)
    for pattern in (*rule.targets, *rule.trusted):
        if pattern.text == ANY:
            return ANY
        if aim.network is not None:
            if pattern.holds(aim.network):
                return pattern.text
        elif literal is not None:
            if pattern.fits_address(parse(literal), aim.port):
                return pattern.text
        elif pattern.fits_name(aim.host, aim.port):
            return pattern.text
    if aim.network is None and any(pattern.text == PUBLIC for pattern in rule.targets):
        return PUBLIC
    return None


def _consent(rule: Rule, aim: Aim) -> str | None:
    if aim.network is None and trusts(rule, literal_of(aim.host), aim.host, aim.port):
        return "trusted"
    return aim.consent
