"""How fast requests may follow each other: finds a rate limit from 429 answers."""

from __future__ import annotations

import math
from collections import deque

FIRST_IN_FLIGHT = 8
LONGEST_OWN_WAIT = 60.0
LONGEST_COUNT = 10.0  # seconds
SAFE_SHARE = 0.96
LEAST_SHARE = 0.25  # of the rate before
LEAST_RATE = 0.5  # requests a second; longer gaps are left to the pauses
SETTLED_SECONDS, DOUBLED_SECONDS = 25.0, 70.0
LIMITED_SHARE = 0.3  # of the answers that tell the cause
VERDICT_ANSWERS = 20
VAIN_SHARE = 0.45  # of the first rate in a row of pauses
CUT_SHARE = 0.3  # of the rate before: a sure sign of a limit


class Pace:
    """Finds the rate limit, which nobody publishes, from the 429 answers.

    A 429 pauses all requests: for as long as it asks, otherwise 1, 2, 4 … 60 s. The new
    rate is 96 % of what was accepted in the seconds before, as many as the pause lasts.
    It hardly changes for 45 s and doubles within 70 s. Without a rate, 8 requests are
    in flight in the first second, 16 in the next …

    Two signs tell that a lower rate does not help, because others have used up the
    limit. Then there is no rate until the next 429:

    * Of the last 20 answers to requests that started after a refused one, at most 30 %
      were 429 too.
    * The rate has fallen by more than half, little by little, in a row of pauses that
      came sooner than 25 s after each other.

    Every `start` needs one `answered` or `refused`. All times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._rate: float | None = None
        self._rate_before: float | None = None  # at the last 429, with its growth
        self._first_rate = 0.0  # in a row of pauses
        self._rated_at = 0.0
        self._accepted: deque[float] = deque(maxlen=2_000)  # when they started
        self._last_start = self._opened_at = self._paused_until = -math.inf
        self._in_flight = self._refusals = 0
        self._is_in_vain = False
        self._first_refused = self._refused_at = -math.inf
        self._counted_seconds = 1.0
        self._refused_share, self._answers = 1.0, 0  # of those that tell the cause

    def next_start(self, now: float) -> float:
        """Return when the next request may start; an answer may bring it forward."""
        start = self._last_start + self._gap(now)
        if self._rate is None:
            doublings = math.ceil(math.log2((self._in_flight + 1) / FIRST_IN_FLIGHT))
            start = self._opened_at + max(0, doublings)
        return max(self._paused_until, start)

    def start(self, now: float) -> None:
        """Note that a request starts."""
        gap = self._gap(now)
        due = max(self._paused_until, self._last_start + gap)
        # A late request passes its delay on to the next one, up to one gap.
        self._last_start = max(due, now - gap)
        if math.isinf(self._opened_at):
            self._opened_at = now
        elif self._rate is not None:  # the rate grows only while requests wait for it
            self._rated_at += self._last_start - due
        self._in_flight += 1

    def paused(self, now: float) -> float:
        """Return the seconds until a pause after a 429 ends; 0 if there is no pause."""
        return max(0.0, self._paused_until - now)

    def refused_for(self, now: float) -> float:
        """Return for how many seconds every request has been answered 429."""
        return now - self._refused_at if self._refusals else 0.0

    def answered(self, started: float) -> None:
        """Note that a request, started then, ended with anything but a 429."""
        self._in_flight -= 1
        self._accepted.append(started)
        if started >= self._paused_until:
            self._refusals = 0
        elif started >= self._first_refused:
            self._note_cause(0)
            self._set_rate()

    def refused(self, now: float, started: float, asked: float | None = None) -> None:
        """Note a 429 to a request, started then, that asks for a pause in seconds."""
        self._in_flight -= 1
        if started < self._paused_until:  # it was in flight when the pause began
            self._paused_until = max(self._paused_until, now + (asked or 0.0))
            self._first_refused = min(self._first_refused, started)
            self._note_cause(1)
        else:
            if not self._refusals:
                self._begin_pauses(now, started)
            pause = asked or min(LONGEST_OWN_WAIT, 2.0**self._refusals)
            self._refusals += 1
            # The limit may have ended at any time during a wait of our own.
            seconds = now - self._refused_at + (asked or pause / 2)
            self._counted_seconds = min(max(1.0, seconds), LONGEST_COUNT)
            self._paused_until = now + pause
        self._set_rate()

    def _begin_pauses(self, now: float, started: float) -> None:
        is_soon = now - self._rated_at < SETTLED_SECONDS
        rate, before = self._rate or 0.0, self._rate_before or 0.0
        is_row = is_soon and self._first_rate and not self._is_in_vain
        if not is_row or rate < CUT_SHARE * before:
            self._first_rate = rate
        self._is_in_vain = rate < VAIN_SHARE * self._first_rate
        self._refused_at, self._first_refused = now, started
        self._rate_before = self._rate_at(started)
        for at in self._accepted:
            if at >= started:
                self._note_cause(0)

    def _note_cause(self, is_refused: int) -> None:
        self._answers = min(self._answers + 1, VERDICT_ANSWERS)
        self._refused_share += (is_refused - self._refused_share) / self._answers

    def _set_rate(self) -> None:
        self._rated_at = self._paused_until
        since = self._first_refused - self._counted_seconds
        # One more, because a count of whole requests is rounded down.
        limit = (sum(at > since for at in self._accepted) + 1) / self._counted_seconds
        if self._is_in_vain or self._refused_share <= LIMITED_SHARE:
            self._rate = None
        else:
            if before := self._rate_before:
                limit = max(LEAST_SHARE * before, min(before, limit))
            self._rate = max(LEAST_RATE, SAFE_SHARE * limit)

    def _gap(self, now: float) -> float:
        rate = self._rate_at(now)
        return 1 / rate if rate else 0.0

    def _rate_at(self, now: float) -> float | None:
        """Return the rate: first 5 % lower, equal after 25 s, double after 70 s."""
        if self._rate is None:
            return None
        seconds = max(0.0, now - self._rated_at) - SETTLED_SECONDS
        return self._rate * (1 + (seconds / (DOUBLED_SECONDS - SETTLED_SECONDS)) ** 5)
