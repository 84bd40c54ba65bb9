"""How often one client may ask: a bucket of requests for each, refilled steadily."""

import threading
from dataclasses import dataclass

from services.common.clock import Clock
from services.common.errors import ResourceExhausted

MAX_CLIENTS = 100_000


@dataclass(frozen=True)
class Rate:
    """At most `burst` at once, and `per_minute` in the long run."""

    name: str
    burst: int
    per_minute: float


class Limits:
    """The buckets; `scale` widens every rate, for sites where many share one address."""

    def __init__(self, clock: Clock, scale: float = 1.0) -> None:
        self._clock, self._scale = clock, scale
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, int]] = {}

    def take(self, rate: Rate, client: str, count: int = 1) -> None:
        """Take from a client's bucket.

        Raises:
            ResourceExhausted: RATE_LIMITED, with when to come again.
        """
        now_ms = self._clock()
        burst, per_minute = rate.burst * self._scale, rate.per_minute * self._scale
        with self._lock:
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.clear()
            left, since_ms = self._buckets.get((rate.name, client), (burst, now_ms))
            left = min(burst, left + (now_ms - since_ms) / 60_000 * per_minute)
            if left < count:
                wait_s = int((count - left) * 60 / per_minute) + 1
                raise ResourceExhausted(
                    "RATE_LIMITED",
                    f"too many requests; try again in {wait_s} s",
                    retry_after_s=wait_s,
                )
            self._buckets[rate.name, client] = (left - count, now_ms)
