"""Reads many jobs at once, hands out what comes of them, and waits.

The unit of work is one request for one job. Between two requests a job may have to
wait, for its import to end or for the API to recover. A job that waits holds up no
other job: threads take whichever job is due.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_fullstory_imports.fullstory import clock, errors, retry
from tap_fullstory_imports.fullstory.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from tap_fullstory_imports.fullstory.client import Client
    from tap_fullstory_imports.fullstory.job import Job, Outcome, Policy, Step

TICK_SECONDS = 0.25
PAGES_PER_THREAD = 2
STUCK_LIMITS = 3  # for the headers, for a silence, and for the rest


@dataclass(frozen=True)
class PageRead:
    """A page has come: its rows are those of the job from `first` on."""

    job: Job
    first: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class JobEnded:
    """Nothing more comes of a job in this run, all its pages have been handed out."""

    job: Job
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Trouble:
    """A request failed and is tried again, or a job needs a word of warning.

    Attributes:
        attempt: The number of the attempt that failed; 0 if no attempt is counted.
        wait: Seconds until the next attempt; 0 for a mere warning.
    """

    job: Job
    text: str
    attempt: int = 0
    wait: float = 0.0


@dataclass(frozen=True)
class Waiting:
    """Nothing has come for a moment.

    Attributes:
        unfinished: All jobs that are left, if the imports of all of them still run.
        waited: Seconds that the run has waited for unfinished jobs.
        pause: Seconds until the rate limit lets requests go on.
        retry: The job that is tried again first, and the seconds until then.
        asked: The jobs whose requests are under way.
    """

    unfinished: tuple[str, ...] = ()
    waited: float = 0.0
    pause: float = 0.0
    retry: tuple[Job, float] | None = None
    asked: tuple[Job, ...] = ()


Event = PageRead | JobEnded | Trouble | Waiting


class Reader:
    """Reads jobs by threads, and hands out their events in one.

    The pages of a job come in their order. The reader asks for no more pages than there
    is room for: two for each thread, including the page that is being worked on.

    Until the API has answered for the first time, only one request is under way. Each
    attempt takes another job, so that a job that gets no answer stops no other job, and
    a host that never answers costs no more than the attempts of one job.

    Attributes:
        requests: How many requests were sent, by endpoint name.
        waited: Seconds in which every job that was left had to wait.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        client: Client,
        policy: Policy,
        pace: Pace | None = None,
    ) -> None:
        """Take the jobs in their order. The first event makes the first request."""
        self.requests: Counter[str] = Counter()
        self.waited = 0.0
        self._client, self._policy, self._pace = client, policy, pace or Pace()
        self._queue = _Queue(jobs)
        self._threads = min(policy.concurrency, self._queue.open)
        self._in_flight: dict[
            Job, float
        ] = {}  # since when, in seconds of time.monotonic
        self._pages = 0  # asked for, waiting to be handed out, or being worked on
        self._outbox: deque[Event | errors.StopError | Exception] = deque()
        self._budget_spent = 0.0
        self._ended_at = -math.inf  # the last job
        self._has_answered = self._has_accepted_key = False
        self._silences, self._silence_waits = 0, retry.retry_waits()
        self._next_attempt = 0.0  # until the first answer
        self._closed = False
        self._changed = threading.Condition()

    def close(self) -> None:
        """Ask for nothing more. A request under way ends by itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # In the thread of the caller

    def events(self) -> Generator[Event, None, None]:
        """Read the jobs.

        Yields:
            What has come. A `JobEnded` comes after the last page of its job has been
            worked on.

        Raises:
            StopError: If no job can be read.
        """
        for _ in range(self._threads):
            self._start_thread()
        try:
            while (event := self._next_event()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
                self._worked_on(event)
        finally:
            self.close()

    def _start_thread(self) -> None:
        threading.Thread(target=self._fetch, name="fetch-jobs", daemon=True).start()

    def _next_event(self) -> Event | Exception | None:
        """The next event; `Waiting` after a moment without any; None at the end."""
        with self._changed:
            if not self._outbox and not self._queue.open:
                return None
            self._abandon_stuck()
            if not self._outbox and (waiting := self._wait()):
                return waiting
            if self._outbox:
                return self._outbox.popleft()
            return Waiting(asked=tuple(self._in_flight))

    def _worked_on(self, event: Event) -> None:
        """Make room for the next page."""
        if isinstance(event, PageRead):
            event.rows.clear()  # whoever still holds the page
            with self._changed:
                self._pages -= 1
                self._changed.notify_all()

    def _abandon_stuck(self) -> None:
        """Fail each job whose request outlasts all time limits of the client.

        A server can send a byte now and then, in headers for example, for ever. The
        thread of such a request is left alone, and another one takes its place.
        """
        oldest = time.monotonic() - STUCK_LIMITS * self._client.timeout
        for job in [job for job, since in self._in_flight.items() if since < oldest]:
            del self._in_flight[job]
            self._pages -= 1
            self._pace.answered(job.asked)
            self._queue.end(job)
            reason = (
                f"no answer within {self._client.timeout:g} s, though the server keeps"
                " sending"
            )
            self._outbox.append(JobEnded(job, "failed", reason))
            self._start_thread()
            self._changed.notify_all()

    def _wait(self) -> Waiting | None:
        """Wait a moment for an event, and count the seconds of waiting."""
        queue, now = self._queue, clock.now()
        pause = self._pace.paused(now) if queue.has_due(now) else 0.0
        is_idle = queue.is_unfinished
        left = self._policy.job_wait_timeout - self._budget_spent
        if is_idle and not queue.time_is_up and (left <= 0 or queue.has_only_statuses):
            asks = self._policy.job_wait_timeout > 0
            for job in queue.give_up(now, self._ended_at, asks=asks):
                self._end_unfinished(job)
            self._changed.notify_all()
            return None
        waits = is_idle or (not self._in_flight and (pause or not queue.has_due(now)))
        moment = min(TICK_SECONDS, left) if is_idle and left > 0 else TICK_SECONDS
        clock.wait(self._changed, moment)
        if not waits:
            return None
        waited = clock.now() - now
        self.waited += waited
        if is_idle and not queue.time_is_up:
            self._budget_spent += waited
        if self._outbox:
            return None
        jobs = queue.unfinished if is_idle else ()
        return Waiting(
            tuple(
                {(job.endpoint.kind, job.job_id): job.job_id for job in jobs}.values()
            ),
            self._budget_spent,
            pause,
            queue.next_retry(now),
        )

    def _end_unfinished(self, job: Job) -> None:
        """End a job that is still processing when there is no time left."""
        self._queue.end(job)
        if job.pending is not None:
            job.rows = job.pages = 1
            self._pages += 1
            self._outbox.append(PageRead(job, 0, job.pending.rows))
            self._outbox.append(JobEnded(job, "read", ""))
        else:
            self._outbox.append(self._still_processing(job))

    def _still_processing(self, job: Job) -> JobEnded:
        """How a job ends that is still processing and has no rows yet."""
        waited = f"It is still processing after {self._budget_spent:.0f} s of waiting"
        if self._policy.unfinished_jobs == "defer":
            return JobEnded(job, "deferred", f"{waited}: the next run will read it.")
        return JobEnded(
            job,
            "failed",
            f"{waited}. Run again later, raise `job_wait_timeout`, or set"
            " `unfinished_jobs` to `defer`.",
        )

    # In the fetching threads

    def _fetch(self) -> None:
        try:
            self._fetch_until_closed()
        finally:
            self._client.close()

    def _fetch_until_closed(self) -> None:
        while (job := self._take()) is not None:
            try:
                step = job.step(self._client, self._policy)
            except Exception as error:  # noqa: BLE001 - raised in the caller's thread
                with self._changed:
                    self._outbox.append(error)
                    self._closed = True
                    self._changed.notify_all()
                return
            with self._changed:
                if job not in self._in_flight:
                    return  # given up by `_abandon_stuck`
                del self._in_flight[job]
                self._file(job, step)
                self._changed.notify_all()

    def _take(self) -> Job | None:
        """The next job that is due, when there is room for its page."""
        with self._changed:
            while not self._closed:
                now = clock.now()
                due = None
                if self._pages < PAGES_PER_THREAD * self._threads and (
                    self._has_answered or not self._in_flight
                ):
                    due = self._queue.next_due(now)
                    if due is not None:
                        due = max(due, self._pace.next_start(now), self._next_attempt)
                    if due is not None and due <= now:
                        return self._begin(self._queue.pop(), now)
                clock.wait(self._changed, None if due is None else due - now)
            return None

    def _begin(self, job: Job, now: float) -> Job:
        """Note that a request for a job starts."""
        self._pace.start(now)
        self._in_flight[job] = time.monotonic()
        self._pages += 1
        self.requests[job.endpoint.name] += 1
        job.asked = now
        job.started = now if job.started is None else job.started
        self._changed.notify_all()
        return job

    def _file(self, job: Job, step: Step) -> None:
        """Put a job where its next request will be taken from, and its events out."""
        now, error = clock.now(), step.error
        if step.page is None:
            self._pages -= 1
        if isinstance(error, errors.RateLimitError):
            self._refused(job, error, now)
            return
        self._pace.answered(job.asked)
        if isinstance(error, errors.NoAnswerError) and not self._has_answered:
            self._unanswered(job, error, now)
            return
        self._has_answered, self._next_attempt = True, 0.0
        if isinstance(error, errors.AccessError) and not self._has_accepted_key:
            self._stop(str(error))
            return
        if error is None or isinstance(error, errors.MissingJobError):
            self._has_accepted_key = True
        self._file_answered(job, step, now)

    def _file_answered(self, job: Job, step: Step, now: float) -> None:
        """Decide how a job goes on that has had an answer of its own."""
        if step.page is not None:
            self._outbox.append(PageRead(job, step.first, step.page.rows))
        if step.warning:
            self._outbox.append(Trouble(job, step.warning))
        if step.outcome:
            self._queue.end(job)
            self._ended_at = now
            self._outbox.append(JobEnded(job, step.outcome, step.reason))
            return
        if step.wait is not None and job.is_unfinished and self._queue.time_is_up:
            self._end_unfinished(job)
            return
        if step.reason:
            self._outbox.append(Trouble(job, step.reason, job.attempts, step.wait or 0))
        self._queue.push(job, None if step.wait is None else now + step.wait)

    def _refused(self, job: Job, error: errors.RateLimitError, now: float) -> None:
        """The rate limit is used up: pause all requests, or stop the run."""
        self._has_answered = True
        self._pace.refused(now, job.asked, error.asked_wait)
        most = self._policy.max_retry_wait
        pause = self._pace.paused(now)
        if (error.asked_wait or 0) > most:
            reason = f"it asks to wait {error.asked_wait:g} s"
        elif (seconds := self._pace.refused_for(now)) + pause > most:
            reason = f"for {seconds:.0f} s it has answered nothing else"
        else:
            self._outbox.append(Trouble(job, str(error), wait=pause))
            self._queue.push(job, now)
            return
        self._stop(
            f"{error}, and {reason}, longer than `max_retry_wait` ({most:g} s) allows."
            " Run again later, or raise `max_retry_wait`."
        )

    def _unanswered(self, job: Job, error: errors.NoAnswerError, now: float) -> None:
        """The host has not answered a single request: try another job, or stop."""
        self._silences += 1
        if self._silences >= self._policy.max_attempts:
            attempts = errors.many(self._silences, "attempt")
            self._stop(
                f"Fullstory can't be reached at {self._client.url}: {error}; given up"
                f" after {attempts}. Check `api_url` and the network."
            )
            return
        wait = next(self._silence_waits)
        self._next_attempt = now + wait
        self._outbox.append(Trouble(job, str(error), self._silences, wait))
        self._queue.put_last(job)

    def _stop(self, reason: str) -> None:
        """End the run: no job can be read."""
        self._outbox.append(errors.StopError(reason))
        self._closed = True


class _Queue:
    """The jobs that are left: due now, to be polled, or waiting until a time.

    Not safe for threads by itself: the reader holds its lock.

    Attributes:
        open: How many jobs have not ended.
        time_is_up: Whether unfinished jobs have been asked for the last time.
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
    def unfinished(self) -> Iterator[Job]:
        """The jobs whose imports still run."""
        return iter(self._unfinished)

    @property
    def is_unfinished(self) -> bool:
        """Whether the imports of all jobs that are left still run."""
        return len(self._unfinished) == self.open > 0

    @property
    def has_only_statuses(self) -> bool:
        """Whether nothing but the statuses of unfinished jobs is left to read."""
        return all(job.pending is not None for job in self._unfinished)

    def push(self, job: Job, due: float | None) -> None:
        """Put a job back, to go on at a time, or at once and before others."""
        if job.is_unfinished:
            self._unfinished[job] = None
        else:
            self._unfinished.pop(job, None)
        if due is None:
            self._ready.appendleft(job)
        else:
            heapq.heappush(self._waiting, (due, next(self._order), job))

    def end(self, job: Job) -> None:
        """A job has ended."""
        self._unfinished.pop(job, None)
        self.open -= 1

    def has_due(self, now: float) -> bool:
        """Whether a request could be made now."""
        return self.next_due(now) == now

    def next_retry(self, now: float) -> tuple[Job, float] | None:
        """The job that goes on first of those that wait, and the seconds until then."""
        if not self._waiting:
            return None
        due, _, job = self._waiting[0]
        return job, max(0.0, due - now)

    def put_last(self, job: Job) -> None:
        """Put a job back, to go on after all others."""
        self._ready.append(job)

    def next_due(self, now: float) -> float | None:
        """When the next request can be made; None if no job is left to ask for."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, job = heapq.heappop(self._waiting)
            if job.is_unfinished:
                self._polls.append(job)
            else:
                self._ready.appendleft(job)
        if self._ready or self._polls:
            return now
        return self._waiting[0][0] if self._waiting else None

    def pop(self) -> Job:
        """A job that is due now, according to `next_due`.

        After a poll comes a job that is no poll, if there is one: hundreds of
        unfinished jobs must not hold up the others.
        """
        self._polled_last = bool(self._polls) and not (
            self._polled_last and self._ready
        )
        return (self._polls if self._polled_last else self._ready).popleft()

    def give_up(self, now: float, ended_at: float, *, asks: bool) -> list[Job]:
        """Ask all unfinished jobs a last time, or without `asks` no more.

        Args:
            now: The time.
            ended_at: When the last job ended: an older status may have changed since.
            asks: Whether to ask at all.

        Returns:
            The jobs that are not asked again, for example because they just have been.
        """
        self.time_is_up = True
        just_asked = []
        for _, _, job in self._waiting:
            is_old = now - job.asked >= next(retry.poll_waits())
            if job.pending is not None:
                is_old = job.asked < ended_at
            if asks and is_old:
                self._polls.append(job)
            else:
                just_asked.append(job)
        self._waiting.clear()
        return just_asked
