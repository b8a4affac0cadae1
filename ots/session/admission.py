"""Lets a planned run in, or says why not: the policy's word on the plan, and the watch over what it sends.

    admission = admit(prepare(case, variables), issuer, settings(), order_id=…)
    execute(admission.plan, options, settings(), store, admission=admission)

Steps that may not run stand in the report with every reason; of a run that may not be at all, these are all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeGuard

from ots.config import Settings
from ots.engine.budget import DataBudget
from ots.engine.planner import Plan, PlannedStep
from ots.model.report import Error
from ots.policy.decision import Decision, Refusal
from ots.policy.issuer import Issuer
from ots.policy.planned import Planned, Used
from ots.policy.policy import Policy
from ots.policy.rule import Rule
from ots.probe import Guard
from ots.session import hold
from ots.session.consent import Asked, consenting
from ots.session.guard import CODE, REMEDY, Watch, refused
from ots.session.intent import PRECHECK, Listed, planned_of, secret_name
from ots.session.machine import listed_servers, machine
from ots.session.policy_file import present_policy
from ots.session.usage import FILE as USAGE
from ots.session.usage import Usage, UsageError

log = logging.getLogger("ots.session")

_MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Admission:
    """`plan` has the refusals in it. `limit` are the bytes that the run may move (None: any number), `watch`
    sees to it (None: nothing is watched). `usage` is to be closed by whoever is not going to `execute`."""

    plan: Plan
    issuer: Issuer
    policy: Policy
    planned: Planned
    decision: Decision
    watch: Watch | None = None
    usage: Usage | None = None
    limit: int | None = None
    wall: Callable[[], float] = time.time

    def guard(self, kind: str) -> Guard | None:
        return None if self.watch is None else self.watch.over(kind)

    def secret(self, get: Callable[[str], str]) -> Callable[[str], str]:
        """The way to the secrets, for those that the policy lets be used."""
        allowed = self.policy.rule(self.issuer).secrets
        if self.watch is None or allowed is None:
            return get

        def narrower(reference: str) -> str:
            if secret_name(reference) not in allowed:
                raise refused(f"the secret {secret_name(reference)} may not be used")
            return get(reference)

        return narrower

    def budget(self, max_data: int | None) -> DataBudget:
        """The narrower of the run's own limit and the policy's."""
        if self.limit is None or (max_data is not None and max_data <= self.limit):
            return DataBudget(max_data)
        return DataBudget(self.limit, CODE)

    def ended(self, moved: int) -> None:
        """Books what the run has moved."""
        if self.usage is not None:
            try:
                self.usage.moved(self.issuer.kind, self.wall(), moved)
            except UsageError as error:
                log.warning("What the run has moved could not be booked: %s", error)
            finally:
                self.usage.close()


def admit(
    plan: Plan,
    issuer: Issuer,
    settings: Settings,
    *,
    order_id: str = "",
    server: str | None = None,
    cycles: int = 1,
    policy: Policy | None = None,
    wall: Callable[[], float] = time.time,
) -> Admission:
    """What the policy says to a plan that `issuer` wants to run now.

    `server` is the URL that this agent is managed from. For a remote run hosts that are to be loaded may be
    asked whether they agree: that sends a few packets and takes seconds.
    """
    if issuer.kind == "local":
        planned = planned_of(plan)
        return Admission(plan, issuer, Policy(), planned, Policy().decide(issuer, planned, wall()))
    found = governing(plan, server, policy)
    listed = listed_servers()
    seed = f"{settings.agent_id} {order_id}"
    planned = planned_of(plan, listed=listed, seed=seed, cycles=cycles)
    obstacle = hold.held(settings.data_dir)
    if obstacle is not None:
        decision = Decision(False, (Refusal("held", str(obstacle)),))
        return Admission(_refuse(plan, decision), issuer, found, planned, decision)
    if not found.watches(issuer):
        return Admission(plan, issuer, found, planned, found.decide(issuer, planned, wall()))
    try:
        usage = Usage(settings.data_dir)
        try:
            return _watched(plan, issuer, found, planned, listed, usage, order_id or seed, wall)
        except BaseException:
            usage.close()
            raise
    except UsageError as error:
        decision = Decision(False, (Refusal("damaged", f"what was used can't be recorded: {error}"),))
        return Admission(_refuse(plan, decision), issuer, found, planned, decision)


def foresee(
    plan: Plan, issuer: Issuer, settings: Settings, *, server: str | None, moment: float
) -> tuple[Policy, Planned, Decision]:
    """What the policy would say at a moment. Nothing is looked up, sent or booked: a host that might agree to
    a load counts as one that doesn't."""
    found = governing(plan, server)
    planned = planned_of(plan, listed=listed_servers(), seed=settings.agent_id)
    used = Used()
    # Made by the agent itself: made by root, who only asks, it would be closed to the agent's own user.
    if found.watches(issuer) and (settings.data_dir / USAGE).exists():
        usage = Usage(settings.data_dir)
        try:
            used = usage.used(issuer.kind, moment)
        finally:
            usage.close()
    decision = found.decide(issuer, planned, moment, used)
    obstacle = None if issuer.kind == "local" else hold.held(settings.data_dir)
    if obstacle is not None:
        decision = Decision(False, (Refusal("held", str(obstacle)), *decision.reasons))
    return found, planned, decision


def governing(plan: Plan, server: str | None, policy: Policy | None = None) -> Policy:
    """The policy (else the one in force) that knows this machine, within what the licence allows."""
    return narrowed(replace(policy or present_policy(), machine=machine(server)), plan)


def narrowed(policy: Policy, plan: Plan) -> Policy:
    """The policy within the licence's numbers for what runs unattended; a licence never widens it."""
    rate = plan.entitlement.limit("packets_per_second")
    per_day = plan.entitlement.limit("bytes_per_day")

    def within(rule: Rule) -> Rule:
        numbers = {"packets_per_second": rate, "bytes_per_day": per_day}
        bound = {name: number for name, number in numbers.items() if _narrower(number, getattr(rule, name))}
        return replace(
            rule,
            packets_per_second=bound.get("packets_per_second", rule.packets_per_second),
            bytes_per_day=int(bound["bytes_per_day"]) if "bytes_per_day" in bound else rule.bytes_per_day,
            licence_bound=frozenset(bound),
        )

    return replace(policy, schedule=within(policy.schedule), remote=within(policy.remote))


def _narrower(number: float | None, than: float | None) -> TypeGuard[float]:
    return number is not None and (than is None or number < than)


def _watched(
    plan: Plan,
    issuer: Issuer,
    policy: Policy,
    planned: Planned,
    listed: Listed,
    usage: Usage,
    run: str,
    wall: Callable[[], float],
) -> Admission:
    rule, used = policy.rule(issuer), usage.used(issuer.kind, wall())
    watch = Watch(
        rule,
        policy.machine,
        remote=issuer.kind == "remote",
        monotonic=time.monotonic,
        meet=lambda ip: _met(usage, ip, run, wall()),
        listed=listed,
    )
    decision = policy.decide(issuer, planned, wall(), used)
    unasked = _to_ask(plan, decision)
    if unasked and rule.heavy == "consented":
        consents = asyncio.run(_ask(unasked, issuer.project, watch, usage, wall))
        planned = _with_consents(planned, consents)
        watch.consents = frozenset(ip for ips in consents.values() for ip in ips)
        decision = policy.decide(issuer, planned, wall(), used)
    limits = [rule.bytes_per_run]
    if rule.bytes_per_day is not None:
        limits.append(max(0, rule.bytes_per_day - used.bytes_today))
    limit = min((each for each in limits if each is not None), default=None)
    return Admission(_refuse(plan, decision), issuer, policy, planned, decision, watch, usage, limit, wall)


def _met(usage: Usage, ip: str, run: str, moment: float) -> bool:
    try:
        return usage.meet(ip, run, moment)
    except UsageError as error:
        raise refused(f"what was used can't be recorded: {error}") from None


def _to_ask(plan: Plan, decision: Decision) -> list[Asked]:
    """Hosts whose consent is all that a step lacks."""
    found: dict[Asked, None] = {}
    for row in plan.steps:
        if {reason.code for reason in decision.of(row.step.key)} == {"consent"}:
            for target in row.step.targets:
                web = target.scheme in ("http", "https")
                found[
                    Asked(target.host, target.scheme or "http", target.port or 80)
                    if web
                    else Asked(target.host)
                ] = None
    return list(found)


async def _ask(
    unasked: list[Asked], project: str | None, watch: Watch, usage: Usage, wall: Callable[[], float]
) -> dict[str, frozenset[str]]:
    guard = watch.over("consent")
    return {asked.host: await consenting(asked, project, guard, usage, wall) for asked in unasked}


def _with_consents(planned: Planned, consents: dict[str, frozenset[str]]) -> Planned:
    intents = tuple(
        replace(
            intent,
            aims=tuple(
                replace(aim, consent="declared") if consents.get(aim.host) else aim for aim in intent.aims
            ),
        )
        for intent in planned.intents
    )
    return replace(planned, intents=intents)


def _refuse(plan: Plan, decision: Decision) -> Plan:
    """The plan with what the policy forbids; where the precheck may not run, no step may."""
    blocks = [
        replace(block, steps=tuple(_refused(row, decision) for row in block.steps)) for block in plan.blocks
    ]
    return replace(plan, blocks=tuple(blocks))


def _refused(row: PlannedStep, decision: Decision) -> PlannedStep:
    reasons = [*decision.of(row.step.key), *(each for each in decision.reasons if each.step == PRECHECK)]
    if not reasons or row.refusal is not None:
        return row
    texts = list(dict.fromkeys(reason.text for reason in reasons))
    more = f"; and {len(texts) - _MOST_REASONS} more" if len(texts) > _MOST_REASONS else ""
    text = "; ".join(texts[:_MOST_REASONS]) + more
    return replace(
        row, refusal=Error(class_="permission", phase="config", code=CODE, message=text, remedy=REMEDY)
    )
