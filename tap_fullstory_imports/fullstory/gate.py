"""When the next request may start, and when an answer stops the whole run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import errors, retry
from tap_fullstory_imports.fullstory.events import Trouble
from tap_fullstory_imports.fullstory.pace import Pace

if TYPE_CHECKING:
    from tap_fullstory_imports.fullstory.job import Job, Policy


class Gate:
    """Applies what one answer says about all jobs.

    Until the API answers for the first time, only one request is under way, and each
    attempt takes another job. One job without an answer then does not stop the others,
    and an unreachable host is given up after the attempts of one job.

    Not thread-safe: the reader holds its lock.
    """

    def __init__(self, url: str, policy: Policy) -> None:
        """Start before the first request."""
        self._url, self._policy, self._pace = url, policy, Pace()
        self._has_answered = self._has_accepted_key = False
        self._silences, self._silence_waits = 0, retry.retry_waits()
        self._next_attempt = -math.inf

    def next_start(self, now: float, in_flight: int) -> float | None:
        """Return when the next request may start; None while it waits for an answer."""
        if in_flight and not self._has_answered:
            return None
        return max(self._pace.next_start(now), self._next_attempt)

    def start(self, now: float) -> None:
        """Note that a request starts."""
        self._pace.start(now)

    def pause(self, now: float) -> float:
        """Return the seconds until the rate limit allows the next request."""
        return self._pace.paused(now)

    def abandon(self, job: Job) -> None:
        """Note that nobody waits for the answer to a request any more."""
        self._pace.answered(job.asked)

    def check(
        self, job: Job, error: errors.FullstoryError | None, now: float
    ) -> Trouble | None:
        """Take the result of a job's request.

        Returns:
            What holds up all jobs; None if the result concerns this job alone.

        Raises:
            StopError: If no job can be read.
        """
        if isinstance(error, errors.RateLimitError):
            return self._refused(job, error, now)
        self._pace.answered(job.asked)
        if isinstance(error, errors.NoAnswerError) and not self._has_answered:
            return self._unanswered(job, error, now)
        self._has_answered, self._next_attempt = True, -math.inf
        if isinstance(error, errors.AccessError) and not self._has_accepted_key:
            raise errors.StopError(str(error))
        if error is None or isinstance(error, errors.MissingJobError):
            self._has_accepted_key = True
        return None

    def _refused(self, job: Job, error: errors.RateLimitError, now: float) -> Trouble:
        """Pause all requests, or stop the run if the pause would be too long."""
        self._has_answered = True
        self._pace.refused(now, job.asked, error.asked_wait)
        most, pause = self._policy.max_retry_wait, self._pace.paused(now)
        if (error.asked_wait or 0) > most:
            reason = f"it asks to wait {error.asked_wait:g} s"
        elif (seconds := self._pace.refused_for(now)) + pause > most:
            reason = f"for {seconds:.0f} s it has answered nothing else"
        else:
            return Trouble(job, str(error), wait=pause)
        raise errors.StopError(
            f"{error}, and {reason}, longer than `max_retry_wait` ({most:g} s) allows."
            " Run again later, or raise `max_retry_wait`."
        )

    def _unanswered(self, job: Job, error: errors.NoAnswerError, now: float) -> Trouble:
        """Let another job try to reach the host, or stop after too many attempts."""
        self._silences += 1
        if self._silences >= self._policy.max_attempts:
            attempts = errors.many(self._silences, "attempt")
            raise errors.StopError(
                f"Fullstory can't be reached at {self._url}: {error}; given up after"
                f" {attempts}. Check `api_url` and the network."
            )
        wait = next(self._silence_waits)
        self._next_attempt = now + wait
        return Trouble(job, str(error), self._silences, wait)
