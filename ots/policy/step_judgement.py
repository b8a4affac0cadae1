"""What a rule says to one step."""

from __future__ import annotations

from collections.abc import Iterator

from ots import units
from ots.policy.aiming import Machine, aim_fault, literal_of, trusts
from ots.policy.decision import Refusal, RefusalCode
from ots.policy.planned import Aim, Intent
from ots.policy.rule import HEAVY, MANY_FLOWS, PACKETS, PACKETS_PER_SECOND, Rule


def of_step(rule: Rule, machine: Machine, intent: Intent, cycles: int, *, remote: bool) -> Iterator[Refusal]:
    """Every reason against a step."""

    def no(code: RefusalCode, text: str) -> Refusal:
        return Refusal(code, text, intent.step)

    if rule.probes is not None and intent.kind not in rule.probes:
        yield no("kind", f"{intent.kind} may not be run")
    if rule.secrets is not None and intent.secrets - rule.secrets:
        names = ", ".join(sorted(intent.secrets - rule.secrets))
        yield no("secret", f"the secret {names} may not be used")
    if remote and intent.files:
        yield no("file", f"the file {', '.join(intent.files)} of this machine may not be read")
    for aim in intent.aims:
        fault = aim_fault(rule, machine, aim, remote=remote)
        if fault is not None:
            yield no("sweep" if aim.network is not None else "target", f"{aim.text} {fault}")
    yield from _amounts(rule, intent, cycles)
    if remote:
        yield from _unasked(rule, intent, cycles)


def consented(rule: Rule, aim: Aim) -> bool:
    """Whether the host has agreed to more than a few packets, as far as is known. A network that may be swept
    is listed by this machine's owner."""
    return (
        aim.network is not None
        or aim.consent is not None
        or trusts(rule, literal_of(aim.host), aim.host, aim.port)
    )


def is_load(intent: Intent) -> bool:
    """Whether a step loads its host, by its kind or by the number of its connections."""
    return intent.kind in HEAVY or intent.flows > MANY_FLOWS * max(1, len(intent.aims))


def _amounts(rule: Rule, intent: Intent, cycles: int) -> Iterator[Refusal]:
    if rule.packets_per_second is not None and intent.rate_in_all > rule.packets_per_second:
        yield Refusal(
            "rate",
            f"sends {intent.rate_in_all:.4g} packets a second, {rule.packets_per_second:g} are allowed"
            + rule.whose("packets_per_second"),
            intent.step,
        )
    if rule.packets is not None and intent.packets_in_all * cycles > rule.packets:
        sent = intent.packets_in_all * cycles
        yield Refusal("packets", f"sends {sent} packets, {rule.packets} are allowed", intent.step)
    if rule.flows is not None and intent.flows > rule.flows:
        yield Refusal(
            "flows", f"opens {intent.flows} connections at once, {rule.flows} are allowed", intent.step
        )
    if rule.bytes_per_run is not None and (intent.bytes or 0) > rule.bytes_per_run:
        yield Refusal(
            "bytes",
            f"moves up to {units.display(float(intent.bytes or 0), 'By')}, "
            f"{units.display(float(rule.bytes_per_run), 'By')} are allowed",
            intent.step,
        )


def _unasked(rule: Rule, intent: Intent, cycles: int) -> Iterator[Refusal]:
    """What may not be done to hosts that have agreed to nothing."""
    strangers = [aim for aim in intent.aims if not consented(rule, aim)]
    agreed_to = "which has not agreed to more than"
    if is_load(intent) and rule.heavy != "any":
        if rule.heavy == "never":
            yield Refusal("consent", f"{intent.kind} with {intent.flows} connections is a load", intent.step)
        for aim in strangers if rule.heavy == "consented" else ():
            yield Refusal("consent", f"{aim.text} has not agreed to a load", intent.step)
    if not strangers:
        return
    if intent.rate > PACKETS_PER_SECOND:
        yield Refusal(
            "rate",
            f"sends {intent.rate:.4g} packets a second to {strangers[0].text}, "
            f"{agreed_to} {PACKETS_PER_SECOND:g}",
            intent.step,
        )
    if intent.packets * cycles > PACKETS:
        yield Refusal(
            "packets",
            f"sends {intent.packets * cycles} packets to {strangers[0].text}, {agreed_to} {PACKETS}",
            intent.step,
        )
