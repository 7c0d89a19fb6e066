"""Rate limiters of the stand-in API, which simulations with their own clock share."""

from __future__ import annotations

import math
import random
import time
from collections import deque


class Limiter:
    """Decides which requests are answered 429; `_take` returns the seconds to wait."""

    rate: float  # requests per second that it lets through in the long run
    burst: float  # requests that it lets through at once after a long pause

    def __init__(self, *, retry_after=True, clock=time.monotonic):
        self._retry_after = retry_after
        self._clock = clock

    def most(self, seconds):
        """How many requests it lets through in so many seconds, at most."""
        return self.burst + self.rate * seconds

    def refuse(self):
        """None to let a request through that arrives now, or the headers of a 429.

        `Retry-After` is in whole seconds, rounded up, and at least 1.
        """
        wait = self._take(self._clock())
        if not wait:
            return None
        after = str(max(1, math.ceil(wait)))
        return {"Retry-After": after} if self._retry_after else {}

    def _take(self, now):
        raise NotImplementedError


class Bucket(Limiter):
    """A token bucket of a size that refills at a rate; full at the start."""

    def __init__(self, rate, burst=None, **options):
        super().__init__(**options)
        self.rate = rate
        self.burst = float(burst or max(1, int(rate)))
        self._left = self.burst
        self._at = self._clock()

    def _take(self, now):
        refilled = self._left + (now - self._at) * self.rate
        self._left, self._at = min(self.burst, refilled), now
        if self._left < 1:
            return (1 - self._left) / self.rate
        self._left -= 1
        return 0.0


class SlidingWindow(Limiter):
    """So many requests in any period of so many seconds."""

    def __init__(self, requests, seconds=1, **options):
        super().__init__(**options)
        self.rate = requests / seconds
        self.burst = requests
        self._seconds = seconds
        self._taken = deque[float]()

    def _take(self, now):
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        if len(self._taken) >= self.burst:
            return self._taken[0] + self._seconds - now
        self._taken.append(now)
        return 0.0


class FixedWindow(Limiter):
    """So many requests in each of the periods that follow one another."""

    def __init__(self, requests, seconds, **options):
        super().__init__(**options)
        self.rate = requests / seconds
        self.burst = requests
        self._seconds = seconds
        self._started = self._clock()
        self._taken = 0

    def _take(self, now):
        passed = (now - self._started) // self._seconds
        if passed:
            self._started, self._taken = self._started + passed * self._seconds, 0
        if self._taken >= self.burst:
            return self._started + self._seconds - now
        self._taken += 1
        return 0.0


class Shared(Limiter):
    """A limit used up by others: refuses a share of the requests at random."""

    rate = burst = math.inf

    def __init__(self, refused, seed=0, **options):
        super().__init__(**options)
        self._refused, self._dice = refused, random.Random(seed)  # noqa: S311

    def _take(self, _):
        return float(self._dice.random() < self._refused)
