"""How far a throughput or a latency says something about the network, and what that was decided from."""

from __future__ import annotations

from typing import Literal

import msgspec

from ots.model.metric import Value

Grade = Literal["high", "medium", "low"]

FindingCode = Literal[
    "link_limited",
    "probe_limited",
    "server_limited",
    "window_limited",
    "not_stabilised",
    "changed_network",
    "cross_traffic",
    "unsynchronised_clock",
    "few_samples",
]


class Finding(msgspec.Struct, kw_only=True):
    """One thing that was found, with the figures that it was decided from (names carry the unit)."""

    code: FindingCode
    evidence: dict[str, Value]


class Validity(msgspec.Struct, kw_only=True):
    """What the figure says of the network, and why.

    `high`: the link was the throughput's limit; or the kernel stamped the latency, and nothing disturbed it.
    `medium`: that isn't known, or something little speaks against it. `low`: something other than the network
    limited or disturbed it.
    """

    grade: Grade
    findings: list[Finding]
