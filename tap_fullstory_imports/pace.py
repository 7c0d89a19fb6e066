"""How fast requests may follow each other: one gate for all threads and streams."""

from __future__ import annotations

LEAST_RATE = 0.5  # requests a second
FIRST_RATE = 5.0  # the least after the first 429, of which little can be told
IDLE_SECONDS = 5.0
DECREASE = 0.9
MOST_DOUBLINGS = 20
INCREASE = 0.01  # of the rate, after one second; then faster and faster


class Pace:
    """Finds the rate that the API bears, from the answers 429 that it gives.

    Until the first 429 there is no limit. Each one pauses all requests for as long as
    the API asks, and sets the rate to nine tenths of what has been answered since the
    last one, pause included: that is what the API bears for long, its bursts spread
    out. From there the rate grows again, slowly at first; it doubles every second if
    the first 429 came too soon to tell anything.

    Not safe for threads by itself: its callers share a lock. All times are seconds of
    `clock.now`.
    """

    def __init__(self) -> None:
        """Start without a limit."""
        self._rate: float | None = None
        self._rated_at = 0.0
        self._is_guess = False
        self._answered = 0
        self._since: float | None = None
        self._paused_until = 0.0
        self._last_start = 0.0

    def next_start(self, now: float) -> float:
        """When the next request may start; a time in the past if it may at once."""
        return max(self._paused_until, self._last_start + self._gap(now))

    def start(self, now: float) -> None:
        """Note that a request starts."""
        # A request that starts late gives its delay to the next one, up to one gap.
        gap = self._gap(now)
        was_idle = now - max(self._last_start, self._paused_until) > IDLE_SECONDS
        self._last_start = max(self.next_start(now), now - gap) if gap else now
        if self._since is None or was_idle:
            self._answered, self._since = 0, now  # what was not asked tells nothing

    def paused(self, now: float) -> float:
        """The seconds until requests go on after a 429; 0 if there is no pause."""
        return max(0.0, self._paused_until - now)

    def answered(self) -> None:
        """Note an answer that is not 429."""
        self._answered += 1

    def refused(self, now: float, wait: float) -> None:
        """Note a 429: pause all requests, and let fewer follow.

        Args:
            now: The time of the answer.
            wait: The seconds to wait, at the least.
        """
        is_new = now >= self._paused_until  # not one of those that were under way
        self._paused_until = max(self._paused_until, now + wait)
        if not is_new:
            return
        since = now if self._since is None else self._since
        seconds = max(now - since, 1e-3)
        borne = self._answered / seconds
        if self._rate is None:
            self._is_guess = borne < FIRST_RATE
            borne = max(borne, FIRST_RATE)
        else:
            tried, self._is_guess = self._grown_rate(now), False
            # While the rate was growing, the mean since the last 429 says too little.
            borne = max(borne, 0.7 * tried) if tried < 5 * borne else min(borne, tried)
        self._rate = max(LEAST_RATE, DECREASE * borne)
        self._rated_at = self._paused_until
        self._answered, self._since = 0, now

    def _gap(self, now: float) -> float:
        return 0.0 if self._rate is None else 1 / self._grown_rate(now)

    def _grown_rate(self, now: float) -> float:
        rate = self._rate or LEAST_RATE
        seconds = max(0.0, now - self._rated_at)
        if self._is_guess:
            return rate * 2 ** min(seconds, MOST_DOUBLINGS)
        return rate * (1 + INCREASE * (seconds + seconds**2))
