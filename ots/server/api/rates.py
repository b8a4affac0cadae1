"""How often a caller may call: a token bucket for each caller and kind of operation, in this process."""

from __future__ import annotations

from collections import OrderedDict

from ots.server.api.operation import Rate
from ots.server.api.problems import Refused

_KEPT = 50_000


class RateLimiter:
    """Buckets; the one longest unused is forgotten first, which can only let somebody start anew."""

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._buckets: OrderedDict[tuple[str, Rate], tuple[float, float]] = OrderedDict()

    def spend(self, who: str, rate: Rate, now: float) -> None:
        """Takes one call out of the bucket at the monotonic time `now`. Raises Refused."""
        per_second, burst = rate.value[0] * self._factor, rate.value[1] * self._factor
        left, then = self._buckets.pop((who, rate), (burst, now))
        left = min(burst, left + (now - then) * per_second)
        self._buckets[who, rate] = (max(left - 1, left if left < 1 else 0.0), now)
        if len(self._buckets) > _KEPT:
            self._buckets.popitem(last=False)
        if left < 1:
            raise Refused("rate-limited", retry_after=(1 - left) / per_second)
