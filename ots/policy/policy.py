"""The policy in force, and what it says to a planned run. Nothing is looked up here: what a name stands for
is judged again, address by address, when packets are about to leave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ots import units
from ots.policy.address import whose
from ots.policy.aiming import Machine, literal_of
from ots.policy.decision import Decision, Refusal
from ots.policy.issuer import Issuer
from ots.policy.planned import Planned, Used
from ots.policy.presets import DEFAULT, rule_of
from ots.policy.rule import MINUTE, NOTHING, PACKETS, PORTS, START_SPREAD, STRANGERS, Rule
from ots.policy.step_judgement import consented, of_step

_UNUSED = Used()
_AGREED = "which has not agreed to more than"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules by kind of issuer. `source` is where they stand; `fault` is why a document could not be used:
    then nothing remote may run."""

    schedule: Rule = field(default_factory=lambda: rule_of(DEFAULT, "schedule"))
    remote: Rule = field(default_factory=lambda: rule_of(DEFAULT, "remote"))
    source: str = f"preset {DEFAULT}"
    fault: str | None = None
    machine: Machine = Machine()

    def rule(self, issuer: Issuer) -> Rule:
        if issuer.kind == "local":
            return rule_of(DEFAULT, "local")
        if issuer.kind == "schedule":
            return self.schedule
        return NOTHING if self.fault is not None else self.remote

    def watches(self, issuer: Issuer) -> bool:
        """Whether this issuer's packets have to be looked at."""
        return issuer.kind == "remote" or not self.rule(issuer).limitless

    def decide(self, issuer: Issuer, planned: Planned, moment: float, used: Used = _UNUSED) -> Decision:
        """Every reason why the run, or a step of it, may not be at this moment (seconds since 1970)."""
        if not self.watches(issuer):
            return Decision(allowed=bool(planned.intents))
        rule, remote = self.rule(issuer), issuer.kind == "remote"
        own = [
            reason
            for intent in planned.intents
            for reason in of_step(rule, self.machine, intent, planned.cycles, remote=remote)
        ]
        refused = {reason.step for reason in own}
        rest = replace(planned, intents=tuple(each for each in planned.intents if each.step not in refused))
        reasons = [*self._of_run(rule, issuer, rest, moment, used), *own]
        barred = {reason.step for reason in reasons}
        allowed = None not in barred and any(intent.step not in barred for intent in planned.intents)
        delay = _start_delay(planned) if allowed and remote and self.strangers(issuer, rest) else 0.0
        return Decision(allowed, tuple(reasons), delay)

    def strangers(self, issuer: Issuer, planned: Planned) -> tuple[str, ...]:
        """The hosts of a remote run that have agreed to nothing."""
        if issuer.kind != "remote":
            return ()
        rule = self.rule(issuer)
        aims = [aim for intent in planned.intents for aim in intent.aims]
        return tuple(dict.fromkeys(aim.host for aim in aims if not consented(rule, aim)))

    def _of_run(
        self, rule: Rule, issuer: Issuer, planned: Planned, moment: float, used: Used
    ) -> Iterator[Refusal]:
        if issuer.kind == "remote" and self.fault is not None:
            yield Refusal("damaged", f"the policy can't be used, so nothing remote runs: {self.fault}")
        elif rule.nothing:
            yield Refusal("issuer", "the policy lets a server run nothing on this machine")
        if rule.roles and issuer.role not in rule.roles:
            yield Refusal("issuer", f"the role {issuer.role or 'unknown'} may run nothing on this machine")
        if rule.projects and issuer.project not in rule.projects:
            yield Refusal(
                "issuer", f"the project {issuer.project or 'unknown'} may run nothing on this machine"
            )
        if rule.hours and not any(hours.hold(moment) for hours in rule.hours):
            yield Refusal("hours", f"runs only at {', '.join(map(str, rule.hours))}")
        yield from _amounts(rule, planned, used)
        in_all = sum(intent.packets_in_all for intent in planned.intents) * planned.cycles
        if len(planned.intents) > 1 and rule.packets is not None and in_all > rule.packets:
            yield Refusal("packets", f"sends {in_all} packets in all, {rule.packets} are allowed")
        yield from _to_strangers(self.strangers(issuer, planned), planned, moment, used)


def _to_strangers(strangers: Sequence[str], planned: Planned, moment: float, used: Used) -> Iterator[Refusal]:
    """What all steps together would do to hosts that have agreed to nothing."""
    if len(strangers) > STRANGERS:
        yield Refusal(
            "sweep", f"sends to {len(strangers)} hosts that have agreed to nothing; {STRANGERS} may be"
        )
        return
    for host in strangers:
        toward = [intent for intent in planned.intents if any(aim.host == host for aim in intent.aims)]
        sent = sum(intent.packets for intent in toward) * planned.cycles
        if len(toward) > 1 and sent > PACKETS:
            yield Refusal("packets", f"sends {sent} packets to {host}, {_AGREED} {PACKETS}")
        ports = {aim.port for intent in toward for aim in intent.aims if aim.host == host}
        if len(ports) > PORTS:
            yield Refusal("sweep", f"knocks at {len(ports)} ports of {host}; {PORTS} may be")
        literal = literal_of(host)
        before = None if literal is None else used.asked.get(whose(literal))
        if before is not None and 0 <= moment - before < MINUTE:
            text = f"{host} was asked {moment - before:.0f} s ago, {_AGREED} once in {MINUTE:.0f} s"
            yield Refusal("too_often", text)


def _amounts(rule: Rule, planned: Planned, used: Used) -> Iterator[Refusal]:
    needed = planned.bytes or 0
    if rule.duration is not None and planned.seconds > rule.duration:
        took, most = (units.display(each, "s") for each in (planned.seconds, rule.duration))
        yield Refusal("duration", f"takes up to {took}, {most} are allowed")
    if rule.bytes_per_run is not None and needed > rule.bytes_per_run:
        yield Refusal("bytes", f"moves up to {_bytes(needed)}, {_bytes(rule.bytes_per_run)} are allowed")
    if rule.bytes_per_day is not None:
        left = max(0, rule.bytes_per_day - used.bytes_today)
        if left == 0 or needed > left:
            said = f"moves up to {_bytes(needed)}, {_bytes(left)} are left of the day's"
            whose = rule.whose("bytes_per_day")
            yield Refusal("bytes_per_day", f"{said} {_bytes(rule.bytes_per_day)}{whose}")


def _bytes(number: int) -> str:
    return units.display(float(number), "By")


def _start_delay(planned: Planned) -> float:
    """Seconds from 0 to `START_SPREAD`, even over many seeds and the same for one."""
    drawn = int.from_bytes(hashlib.sha256(planned.seed.encode()).digest()[:8], "big")
    return drawn / 2**64 * START_SPREAD
