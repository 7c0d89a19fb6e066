"""Which job is asked next, and what an answer leads to. Without threads."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import reasons
from tap_fullstory_imports.fullstory.events import JobEnded, PageRead, Trouble, Waiting
from tap_fullstory_imports.fullstory.job_queue import JobQueue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_fullstory_imports.fullstory.events import Event
    from tap_fullstory_imports.fullstory.gate import Gate
    from tap_fullstory_imports.fullstory.job import Job, Policy, Step


class Plan:
    """Keeps the queue of jobs in step with the answers.

    Not thread-safe: the reader holds its lock.

    Attributes:
        requests: How many requests were started, by endpoint name.
        waited: Seconds in which every job that was left had to wait.
    """

    def __init__(self, jobs: Iterable[Job], policy: Policy, gate: Gate) -> None:
        """Take the jobs in their order."""
        self.requests: Counter[str] = Counter()
        self.waited = 0.0
        self._spent = 0.0  # of the time limit for unfinished imports
        self._queue, self._policy, self._gate = JobQueue(jobs), policy, gate
        self._ended_at = -math.inf  # the last job

    @property
    def open(self) -> int:
        """How many jobs have not ended."""
        return self._queue.open

    def next_start(self, now: float, in_flight: int) -> float | None:
        """Return when the next request may start; None if only an answer can tell."""
        due = self._queue.next_due(now)
        start = self._gate.next_start(now, in_flight)
        return None if due is None or start is None else max(due, start)

    def begin(self, now: float) -> Job:
        """Take the job whose request starts now."""
        job = self._queue.pop()
        self._gate.start(now)
        self.requests[job.endpoint.name] += 1
        job.asked = now
        job.started = now if job.started is None else job.started
        return job

    def take(self, job: Job, step: Step, now: float) -> list[Event]:
        """Take the result of a job's request.

        Returns:
            What to hand out.

        Raises:
            StopError: If no job can be read.
        """
        if trouble := self._gate.check(job, step.error, now):
            if trouble.attempt:
                self._queue.put_last(job)  # another job makes the next attempt
            else:
                self._queue.push(job, now)
            return [trouble]
        events: list[Event] = []
        if step.page is not None:
            events.append(PageRead(job, step.first, step.page.rows))
        if step.warning:
            events.append(Trouble(job, step.warning))
        if step.outcome:
            self._ended_at = now
            self._queue.end(job)
            events.append(JobEnded(job, step.outcome, step.reason))
        elif step.wait is not None and job.is_unfinished and self._queue.time_is_up:
            events += self._end_unfinished(job)
        else:
            if step.reason:
                wait = step.wait or 0.0
                events.append(Trouble(job, step.reason, job.attempts, wait))
            self._queue.push(job, None if step.wait is None else now + step.wait)
        return events

    def abandon(self, job: Job, reason: str) -> JobEnded:
        """Fail a job whose request is still under way."""
        self._gate.abandon(job)
        self._queue.end(job)
        return JobEnded(job, "failed", reason)

    # When there is nothing to read

    def waiting(self, now: float, in_flight: int) -> Waiting | None:
        """Return what all jobs that are left wait for; None if one can go on."""
        queue = self._queue
        pause = self._gate.pause(now) if queue.has_due(now) else 0.0
        unfinished = queue.unfinished_ids if queue.is_unfinished else ()
        if not unfinished and (in_flight or (queue.has_due(now) and not pause)):
            return None
        return Waiting(unfinished, self._spent, pause, queue.next_retry(now))

    def count_wait(self, waiting: Waiting, seconds: float) -> None:
        """Count the seconds of a wait.

        Only time in which nothing else can be read counts against the time limit.
        """
        self.waited += seconds
        if waiting.unfinished and not self._queue.time_is_up:
            self._spent += seconds

    def give_up(self, now: float) -> list[Event]:
        """Stop waiting for unfinished jobs if the time for that is up.

        Returns:
            What to hand out.
        """
        queue = self._queue
        if not queue.is_unfinished or queue.time_is_up:
            return []
        is_spent = self._spent >= self._policy.job_wait_timeout
        if not is_spent and not queue.has_only_statuses:
            return []
        jobs = queue.give_up(now, self._ended_at)
        return [event for job in jobs for event in self._end_unfinished(job)]

    def _end_unfinished(self, job: Job) -> list[Event]:
        """End a job that is still processing when the time for waiting is up."""
        self._queue.end(job)
        if job.pending is not None:
            job.rows = job.pages = 1
            page = PageRead(job, 0, job.pending.rows)
            return [page, JobEnded(job, "read", "")]
        if self._policy.unfinished_jobs == "defer":
            reason = reasons.deferred(self._spent)
            return [JobEnded(job, "deferred", reason)]
        return [JobEnded(job, "failed", reasons.unfinished(self._spent))]
