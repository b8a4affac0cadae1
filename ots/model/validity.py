"""How far a throughput says something about the link, and what that was decided from."""

from __future__ import annotations

from typing import Literal

import msgspec

from ots.model.metric import Value

Grade = Literal["high", "medium", "low"]

FindingCode = Literal[
    "link_limited",
    "probe_limited",
    "window_limited",
    "not_stabilised",
    "changed_network",
    "cross_traffic",
    "few_samples",
]


class Finding(msgspec.Struct, kw_only=True):
    """One thing that was found, with the figures that it was decided from (names carry the unit)."""

    code: FindingCode
    evidence: dict[str, Value]


class Validity(msgspec.Struct, kw_only=True):
    """`high`: the link was the limit. `medium`: nothing speaks against the figure, or little does, but the
    limit isn't known. `low`: something other than the link limited or disturbed it."""

    grade: Grade
    findings: list[Finding]
