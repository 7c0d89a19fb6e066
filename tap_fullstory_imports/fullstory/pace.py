"""How fast requests may follow each other: one gate for all threads and streams."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from contextlib import suppress

FIRST_IN_FLIGHT = 8
OWN_WAIT = 1.0
LONGEST_OWN_WAIT = 60.0
PROBE_SECONDS = 1.0
COUNTED_SECONDS = 1.0, 10.0
STARTS_KEPT = 10_000
SAFE_SHARE = 0.95
LEAST_SHARE = 0.25  # of the rate before
LEAST_RATE = 0.05  # requests a second
LEAST_ACCEPTED = 5
SETTLED_SECONDS = 20.0
DOUBLED_SECONDS = 60.0


class Pace:
    """Finds the rate limit, which nobody publishes, from the 429 answers.

    Before the first 429 there is no rate, but at most 8 requests are in flight in the
    first second, 16 in the next, and so on. A 429 pauses all requests for as long as it
    asks (1, 2, 4 … 60 s if it does not say), and then one request goes ahead of the
    others. From then on the rate is 95 % of what was accepted before the 429, counted
    over as many seconds as the pause lasts, and it hardly changes for 40 s before it
    grows, to twice as much after a minute without a 429.

    Every `start` must be followed by one call of `answered` or `refused`. Not
    thread-safe: callers share a lock. All times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        """Start without a rate."""
        self._rate: float | None = None
        self._rate_before: float | None = None  # at the last 429
        self._rated_at = 0.0
        self._starts: deque[float] = deque(maxlen=STARTS_KEPT)  # except refused ones
        self._last_start = -math.inf
        self._in_flight = 0
        self._opened_at: float | None = None
        self._paused_until = -math.inf
        self._is_probing = False
        # The 429 answers since a request was last accepted:
        self._refusals = 0
        self._refused_start = 0.0
        self._refused_at = -math.inf
        self._waits = 0.0
        self._counted_seconds = 0.0
        self._is_first_limit = True

    def next_start(self, now: float) -> float:
        """Return when the next request may start; a time in the past means at once.

        An answer may bring that time forward.
        """
        start = self._last_start + self._gap(now)
        if self._is_probing and self._last_start >= self._paused_until:
            start = max(start, self._last_start + PROBE_SECONDS)
        elif self._rate is None and self._opened_at is not None:
            doublings = math.ceil(math.log2((self._in_flight + 1) / FIRST_IN_FLIGHT))
            start = self._opened_at + max(0, doublings)
        return max(self._paused_until, start)

    def start(self, now: float) -> None:
        """Note that a request starts."""
        gap = self._gap(now)
        due = max(self._paused_until, self._last_start + gap)
        # A late request passes its delay on to the next one, up to one gap.
        self._last_start = max(due, now - gap)
        if self._rate is not None:
            # Time in which no request had to wait says nothing about the limit.
            self._rated_at += self._last_start - due
        self._starts.append(now)
        self._in_flight += 1
        if self._opened_at is None:
            self._opened_at = now

    def paused(self, now: float) -> float:
        """Return the seconds until a pause after a 429 ends; 0 if there is no pause."""
        return max(0.0, self._paused_until - now)

    def refused_for(self, now: float) -> float:
        """Return for how many seconds every request has been answered 429."""
        return now - self._refused_at if self._refusals else 0.0

    def answered(self, started: float) -> None:
        """Note that a request ended with anything but a 429.

        Args:
            started: When the request started.
        """
        self._in_flight -= 1
        if started >= self._paused_until:
            self._refusals = 0
            self._is_probing = False

    def refused(self, now: float, started: float, asked: float | None = None) -> None:
        """Note a 429: pause all requests and set the rate.

        Args:
            now: The time of the answer.
            started: When the request started.
            asked: The seconds to wait, if the answer names any.
        """
        self._in_flight -= 1
        with suppress(ValueError):
            self._starts.remove(started)
        if started < self._paused_until:  # it was in flight when the pause began
            self._refused_start = min(self._refused_start, started)
            self._paused_until = max(self._paused_until, now + (asked or 0.0))
        else:
            self._pause(now, started, asked)
        self._is_probing = True
        self._opened_at = None
        self._rated_at = self._paused_until
        self._set_rate()

    def _pause(self, now: float, started: float, asked: float | None) -> None:
        if not self._refusals:
            self._is_first_limit = math.isinf(self._refused_at)
            self._refused_start, self._refused_at = started, now
            self._rate_before = self._rate_at(started)
            self._waits = 0.0
        own = min(LONGEST_OWN_WAIT, OWN_WAIT * 2**self._refusals)
        self._refusals += 1
        # The limit may have ended at any time during a wait of our own.
        self._counted_seconds = self._waits + (asked or own / 2)
        self._waits += asked or own
        self._paused_until = now + (asked or own)

    def _set_rate(self) -> None:
        least, most = COUNTED_SECONDS
        seconds = min(max(least, self._counted_seconds), most)
        accepted = self._most_accepted(seconds)
        before = self._rate_before
        if before is not None:
            # One more, because a count of whole requests is rounded down. A 429 that
            # comes when few requests are made says little, so it can't stop them all.
            limit = min(before, (accepted + 1) / seconds)
            limit = max(limit, LEAST_SHARE * before)
        elif accepted < LEAST_ACCEPTED and self._is_first_limit:
            # Others had used up the limit before, so it is unknown how high it is.
            self._rate = None
            return
        else:
            limit = max(accepted, LEAST_ACCEPTED) / seconds
        self._rate = max(LEAST_RATE, SAFE_SHARE * limit)

    def _most_accepted(self, seconds: float) -> int:
        """Count the requests of the busiest period of so many seconds, lately."""
        recent = [at for at in self._starts if at > self._refused_start - seconds]
        return max(
            (
                number - bisect_right(recent, at - seconds)
                for number, at in enumerate(recent, start=1)
            ),
            default=0,
        )

    def _gap(self, now: float) -> float:
        rate = self._rate_at(now)
        return 1 / rate if rate else 0.0

    def _rate_at(self, now: float) -> float | None:
        """Return the rate: first 3 % lower, equal after 20 s, double after 60 s."""
        if self._rate is None:
            return None
        seconds = max(0.0, now - self._rated_at)
        stretch = DOUBLED_SECONDS - SETTLED_SECONDS
        return self._rate * (1 + ((seconds - SETTLED_SECONDS) / stretch) ** 5)
