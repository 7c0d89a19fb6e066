"""The jobs that have not ended, and which of them is asked next."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import retry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_fullstory_imports.fullstory.job import Job


class JobQueue:
    """Orders jobs: due now, due for another look at an unfinished import, due later.

    Not thread-safe: the reader holds its lock.

    Attributes:
        open: How many jobs have not ended.
        time_is_up: Whether `give_up` has been called.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Take the jobs in their order."""
        self._ready = deque(jobs)
        self._polls: deque[Job] = deque()
        self._waiting: list[tuple[float, int, Job]] = []
        self._unfinished: dict[Job, None] = {}
        self._order = itertools.count()
        self._polled_last = False
        self.open = len(self._ready)
        self.time_is_up = False

    @property
    def unfinished_ids(self) -> tuple[str, ...]:
        """The IDs of the jobs whose imports still run, each once for each kind."""
        found = ((job.endpoint.kind, job.job_id) for job in self._unfinished)
        return tuple(job_id for _, job_id in dict.fromkeys(found))

    @property
    def is_unfinished(self) -> bool:
        """Whether the imports of all jobs that are left still run."""
        return len(self._unfinished) == self.open > 0

    @property
    def has_only_statuses(self) -> bool:
        """Whether only the statuses of unfinished jobs are left to read."""
        return all(job.pending is not None for job in self._unfinished)

    def push(self, job: Job, due: float | None) -> None:
        """Put a job back, to go on at a time; with None at once, before others."""
        if job.is_unfinished:
            self._unfinished[job] = None
        else:
            self._unfinished.pop(job, None)
        if due is None:
            self._ready.appendleft(job)
        else:
            heapq.heappush(self._waiting, (due, next(self._order), job))

    def put_last(self, job: Job) -> None:
        """Put a job back, to go on after all others."""
        self._ready.append(job)

    def end(self, job: Job) -> None:
        """Note that a job has ended."""
        self._unfinished.pop(job, None)
        self.open -= 1

    def next_due(self, now: float) -> float | None:
        """Return when the next job is due; None if no job waits for a request."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, job = heapq.heappop(self._waiting)
            if job.is_unfinished:
                self._polls.append(job)
            else:
                self._ready.appendleft(job)
        if self._ready or self._polls:
            return now
        return self._waiting[0][0] if self._waiting else None

    def has_due(self, now: float) -> bool:
        """Return whether a job is due now."""
        return self.next_due(now) == now

    def pop(self) -> Job:
        """Take a job that is due now, according to `next_due`.

        Unfinished imports take turns with other jobs, so hundreds of them do not hold
        up the others.
        """
        self._polled_last = bool(self._polls) and not (
            self._polled_last and self._ready
        )
        return (self._polls if self._polled_last else self._ready).popleft()

    def next_retry(self, now: float) -> tuple[Job, float] | None:
        """Return the waiting job that is due first, and the seconds until then."""
        if not self._waiting:
            return None
        due, _, job = self._waiting[0]
        return job, max(0.0, due - now)

    def give_up(self, now: float, ended_at: float) -> list[Job]:
        """Stop waiting for unfinished jobs, but ask each of them a last time.

        Args:
            now: The time.
            ended_at: When the last job ended. An older status may have changed since.

        Returns:
            The jobs that are not asked again, for example because of a recent answer.
        """
        self.time_is_up = True
        not_asked = []
        for _, _, job in self._waiting:
            is_old = now - job.asked >= next(retry.poll_waits())
            if job.pending is not None:
                is_old = job.asked < ended_at
            if is_old:
                self._polls.append(job)
            else:
                not_asked.append(job)
        self._waiting.clear()
        return not_asked
