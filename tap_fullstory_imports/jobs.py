"""Reads many jobs, hands out their pages, waits, and decides how each job ends.

The unit of work is the *step*: one request for one job. A job goes from step to step,
and between two of them it may have to wait, for its import to end or for the API to
recover. A job that waits holds up no other: threads take whichever step is due.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tap_fullstory_imports import clock, errors

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from tap_fullstory_imports.pace import Pace
    from tap_fullstory_imports.pages import Page, Status
    from tap_fullstory_imports.pagination import NextPageTokenPaginator
    from tap_fullstory_imports.report import Counts
    from tap_fullstory_imports.settings import Settings

TICK_SECONDS = 0.25
LINE_SECONDS = 8.0
PAGES_PER_THREAD = 2
JOBS_NAMED = 5


class Endpoint(Protocol):
    """Where the pages of jobs come from."""

    def get_new_paginator(self) -> NextPageTokenPaginator:
        """A paginator for one job."""

    def read_page(self, job_id: str, paginator: NextPageTokenPaginator) -> Page:
        """One page of a job."""

    def read_status(self, job_id: str) -> Status:
        """What the API says of a job."""

    def reported(self, status: Status) -> tuple[int, str]:
        """How many rows a job status promises, and what they are."""


@dataclass(eq=False)
class Job:
    """How far a job has come."""

    job_id: str
    paginator: NextPageTokenPaginator
    rows: int = 0
    pages: int = 0
    total: int | None = None
    attempts: int = 0
    retry_waits: Iterator[float] | None = None
    poll_waits: Iterator[float] | None = None
    unfinished: bool = False  # the last answer was that it is still processing
    is_stale: bool = False  # it was still processing after its pages had been read
    started: float | None = None
    asked: float = 0.0
    next_line: float = 0.0


@dataclass(frozen=True)
class PageRead:
    """A page has come: its rows are those of the job from `first` on."""

    job_id: str
    first: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class JobEnded:
    """Nothing more comes of a job in this run.

    Attributes:
        is_read: Whether all its pages have been handed out, and its number of rows is
            right.
    """

    job_id: str
    rows: int
    is_read: bool


@dataclass(frozen=True)
class Tick:
    """Nothing has come that is to be written: time for what must not wait."""


Event = PageRead | JobEnded | Tick


class WaitBudget:
    """The seconds that one run waits in all for jobs that are still processing."""

    def __init__(self, seconds: float) -> None:
        """Start with all of them left."""
        self.seconds = seconds
        self.spent = 0.0

    @property
    def left(self) -> float:
        """The seconds that may still be waited."""
        return self.seconds - self.spent


class Jobs:
    """Reads jobs by threads; their events are handed out in one.

    The pages of a job come in their order. No more pages are asked for than there is
    room for: two for each thread, together with the one being worked on.
    """

    def __init__(  # noqa: PLR0913
        self,
        endpoint: Endpoint,
        job_ids: Iterable[str],
        settings: Settings,
        *,
        budget: WaitBudget,
        pace: Pace,
        counts: Counts,
        logger: logging.Logger,
    ) -> None:
        """Take the jobs in their order; no request is made before the first event."""
        self._endpoint = endpoint
        self._settings = settings
        self._budget = budget
        self._pace = pace
        self._counts = counts
        self._logger = logger
        self._ready = deque(Job(job, endpoint.get_new_paginator()) for job in job_ids)
        self._polls: deque[Job] = deque()
        self._polled_last = False
        self._waiting: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._open = len(self._ready)
        self._threads = min(settings.concurrency, self._open)
        self._in_flight = 0
        self._pages = 0  # asked for, waiting to be handed out, or being worked on
        self._outbox: deque[_Result] = deque()
        self._started: dict[str, Job] = {}
        self._unfinished: dict[str, Job] = {}
        self._time_is_up = False
        self._next_waiting_line = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def close(self) -> None:
        """Ask for nothing more. A request under way is left to itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # In the thread of the caller: everything that writes

    def events(self) -> Generator[Event, None, None]:
        """Read the jobs.

        Yields:
            What has come. A `JobEnded` comes after the last page of its job has been
            worked on.

        Raises:
            AccessError: If the API refuses the key.
        """
        for number in range(self._threads):
            name = f"fetch-{number}"
            threading.Thread(target=self._fetch, name=name, daemon=True).start()
        try:
            while (result := self._next_result()) is not None:
                yield from self._handle(result)
        finally:
            self.close()

    def show_progress(self, job_id: str, rows: int) -> None:
        """Say how far a job is, if that has not been said for a while."""
        job = self._started.get(job_id)
        if job is None or rows == job.total or clock.now() < job.next_line:
            return
        job.next_line = clock.now() + LINE_SECONDS
        of_total = f" of {job.total:,}" if job.total is not None else ""
        self._logger.info("Job %s: %s%s rows so far.", job_id, f"{rows:,}", of_total)

    def _next_result(self) -> _Result | None:
        """The next result of a thread; an empty one after a moment, None at the end."""
        with self._changed:
            if not self._outbox and self._open:
                self._wait()
            if self._outbox:
                return self._outbox.popleft()
            return _Result() if self._open else None

    def _wait(self) -> None:
        """Wait a moment for a result; if all jobs must wait, count it and say why."""
        pause = self._pace.paused(clock.now()) if self._ready or self._polls else 0.0
        is_blocked = bool(pause) or not (self._ready or self._polls)
        # Also while a poll is under way: to ask them all may take all the time.
        is_idle = len(self._unfinished) == self._open
        if is_idle and self._budget.left <= 0 and not self._time_is_up:
            self._give_up()
            return
        waits = is_idle or (is_blocked and not self._in_flight)
        if waits:
            self._show_waiting(pause)
        left = self._budget.left if is_idle and not self._time_is_up else TICK_SECONDS
        started = clock.now()
        clock.wait(self._changed, min(TICK_SECONDS, left))
        if waits:
            waited = clock.now() - started
            self._counts.waited += waited
            self._budget.spent += waited if is_idle and not self._time_is_up else 0

    def _give_up(self) -> None:
        """Ask the unfinished jobs a last time, unless that has only just been done."""
        self._time_is_up = True
        now = clock.now()
        for _, _, job in self._waiting:
            if now - job.asked >= next(errors.poll_waits()):
                self._polls.append(job)
            else:
                self._outbox.append(self._still_processing(job))
        self._waiting.clear()
        self._changed.notify_all()

    def _still_processing(self, job: Job) -> _Result:
        """How a job ends that is still processing when there is no time left."""
        waited = f"{self._budget.spent:.0f}"
        if self._settings.unfinished_jobs == "defer":
            return _Result(
                job,
                ended="deferred",
                text=(
                    f"Job {job.job_id} is still processing after {waited} s of waiting:"
                    " it is left for the next run."
                ),
                level=logging.WARNING,
            )
        return _failed(
            job,
            f"It is still processing after {waited} s of waiting. Run again later,"
            " raise `job_wait_timeout`, or set `unfinished_jobs` to `defer`.",
        )

    def _handle(self, result: _Result) -> Iterator[Event]:
        job = result.job
        if result.crash is not None:
            raise result.crash
        if result.text:
            self._logger.log(result.level, "%s", result.text)
            self._next_waiting_line = clock.now() + LINE_SECONDS
        if job is None:
            with self._changed:
                started = list(self._started.values())
            for other in started:
                self.show_progress(other.job_id, other.rows)
        if result.page is None and not result.ended:
            yield Tick()
        if job is not None and result.page is not None:
            yield PageRead(job.job_id, result.first, result.page.rows)
            result.page.rows.clear()  # whoever still holds the page
            with self._changed:
                self._pages -= 1
                self._changed.notify_all()
        if job is not None and result.ended:
            with self._changed:
                self._open -= 1
                self._started.pop(job.job_id, None)
                self._unfinished.pop(job.job_id, None)
                self._changed.notify_all()
            self._count(job, result)
            yield JobEnded(job.job_id, job.rows, is_read=result.ended == "read")

    def _count(self, job: Job, result: _Result) -> None:
        """Count how a job ended, and say so if it is read."""
        if result.ended == "read":
            self._logger.info(
                "Job %s: %s in %s, %.1f s.",
                job.job_id,
                errors.many(job.rows, "row"),
                errors.many(job.pages, "page"),
                clock.now() - (job.started or 0),
            )
        elif result.ended == "deferred":
            self._counts.deferred += 1
        elif result.ended == "skipped":
            self._counts.skipped += 1
        else:
            self._counts.failures.append((job.job_id, result.reason))

    def _show_waiting(self, pause: float) -> None:
        """Say what is waited for, at once and then every few seconds."""
        now = clock.now()
        if now < self._next_waiting_line:
            return
        self._next_waiting_line = now + LINE_SECONDS
        if len(self._unfinished) == self._open:
            names = ", ".join(itertools.islice(self._unfinished, JOBS_NAMED))
            more = len(self._unfinished) - JOBS_NAMED
            self._logger.info(
                "Waiting for jobs that are still processing (%d: %s%s): %.0f s of at"
                " most %g s.",
                len(self._unfinished),
                names,
                f" and {more} more" if more > 0 else "",
                self._budget.spent,
                self._budget.seconds,
            )
        elif pause:
            self._logger.info(
                "Waiting, as Fullstory's rate limit asks: requests go on in %.0f s.",
                pause,
            )
        elif self._waiting:
            due, _, job = self._waiting[0]
            self._logger.info(
                "Waiting: job %s is asked for again in %.0f s.", job.job_id, due - now
            )

    # In the fetching threads: nothing that writes

    def _fetch(self) -> None:
        while (job := self._take()) is not None:
            try:
                result = self._step(job)
            except Exception as error:  # noqa: BLE001 - raised where it is seen
                result = _Result(job, crash=error)
            with self._changed:
                self._in_flight -= 1
                self._file(job, result)
                self._changed.notify_all()

    def _take(self) -> Job | None:
        """The next job with a step that is due, when there is room for its page."""
        with self._changed:
            while not self._closed:
                now = clock.now()
                due = None
                if self._pages < PAGES_PER_THREAD * self._threads:
                    self._wake_up(now)
                    if self._ready or self._polls:
                        due = self._pace.next_start(now)
                        if due <= now:
                            return self._begin(self._next_job(), now)
                    elif self._waiting:
                        due = self._waiting[0][0]
                clock.wait(self._changed, None if due is None else due - now)
            return None

    def _wake_up(self, now: float) -> None:
        """Let the jobs go on whose wait is over."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, job = heapq.heappop(self._waiting)
            if job.unfinished:
                self._polls.append(job)
            else:
                self._ready.appendleft(job)

    def _next_job(self) -> Job:
        """A job to go on with; after a poll one that is no poll, if there is one.

        Hundreds of jobs that are still processing must not hold up the others.
        """
        self._polled_last = bool(self._polls) and not (
            self._polled_last and self._ready
        )
        return (self._polls if self._polled_last else self._ready).popleft()

    def _begin(self, job: Job, now: float) -> Job:
        """Note that a job's next step is being taken."""
        self._pace.start(now)
        self._in_flight += 1
        self._pages += 1
        self._counts.requests += 1
        job.asked = now
        if job.started is None:
            job.started, job.next_line = now, now + LINE_SECONDS
        if not job.unfinished:
            self._started[job.job_id] = job
        self._changed.notify_all()
        return job

    def _step(self, job: Job) -> _Result:
        """Make one request for a job."""
        was_last_page = job.paginator.finished
        try:
            if was_last_page:
                return self._check_count(job, self._endpoint.read_status(job.job_id))
            page = self._endpoint.read_page(job.job_id, job.paginator)
        except errors.NotReadyError:
            return self._poll(job)
        except errors.RetriableError as error:
            return self._try_again(job, error)
        except errors.JobError as error:
            return self._give_up_on(job, error)
        first = job.rows
        job.rows += len(page.rows)
        job.pages += 1
        job.total = job.total if page.total is None else page.total
        job.attempts, job.retry_waits, job.unfinished = 0, None, False
        done = job.paginator.finished and job.rows == job.total
        return _Result(job, page=page, first=first, ended="read" if done else "")

    def _file(self, job: Job, result: _Result) -> None:
        """Put a job where its next step will be taken from, and its result out."""
        if result.wait is not None and job.unfinished and self._time_is_up:
            result = self._still_processing(job)
        if result.page is None:
            self._pages -= 1
        if result.pause is None:
            self._pace.answered()
        else:
            self._pace.refused(clock.now(), result.pause)
        if job.unfinished:
            self._unfinished[job.job_id] = job
            self._started.pop(job.job_id, None)
        else:
            self._unfinished.pop(job.job_id, None)
            self._started[job.job_id] = job
        if result.wait is not None:
            due = clock.now() + result.wait
            heapq.heappush(self._waiting, (due, next(self._order), job))
            self._counts.retries += not job.unfinished
        elif result.crash is not None:
            self._closed = True
        elif not result.ended:
            self._ready.appendleft(job)
        if result.page is not None or result.text or result.ended or result.crash:
            self._outbox.append(result)

    def _poll(self, job: Job) -> _Result:
        """A job is still processing: when to ask again."""
        job.attempts, job.unfinished = 0, True
        job.poll_waits = job.poll_waits or errors.poll_waits()
        return _Result(job, wait=next(job.poll_waits))

    def _try_again(self, job: Job, error: errors.RetriableError) -> _Result:
        """A request failed: when to try it again, or that it has failed for good."""
        job.attempts, job.unfinished = job.attempts + 1, False
        asked, most = error.asked_wait, self._settings.max_retry_wait
        job.retry_waits = job.retry_waits or errors.retry_waits()
        wait = next(job.retry_waits)
        pause = wait if error.is_for_all else None
        if asked is not None and asked > most:
            return _failed(
                job,
                f"{error}, and it asks to wait {asked:g} s, which is more than"
                f" `max_retry_wait` ({most:g} s) allows. Run again later or raise it.",
                pause,
            )
        if asked:
            wait, pause = asked, asked if error.is_for_all else None
        attempts = self._settings.max_attempts
        if job.attempts >= attempts:
            many = errors.many(attempts, "attempt")
            return _failed(job, f"{error}; given up after {many}.", pause)
        return _Result(
            job,
            wait=wait,
            pause=pause,
            text=(
                f"Job {job.job_id}: {error}; attempt {job.attempts} of {attempts},"
                f" the next one in {wait:.1f} s."
            ),
            level=logging.WARNING,
        )

    def _give_up_on(self, job: Job, error: errors.JobError) -> _Result:
        """A job can't be read: whether that is a failure."""
        is_missing = isinstance(error, errors.MissingJobError) and not job.pages
        if not is_missing or self._settings.missing_jobs == "fail":
            return _failed(job, str(error))
        return _Result(
            job,
            ended="skipped",
            text=f"Job {job.job_id} is skipped: Fullstory does not know it (404).",
            level=logging.WARNING,
        )

    def _check_count(self, job: Job, status: Status) -> _Result:
        """Decide about a job whose rows are not as many as its pages say."""
        if status.status == "PROCESSING":
            job.is_stale = True
            return self._poll(job)
        job.unfinished = False
        if job.is_stale:
            # Its rows were those of an import under way: read it from the start.
            job.paginator, job.is_stale = self._endpoint.get_new_paginator(), False
            job.rows, job.pages, job.total = 0, 0, None
            return _Result(job)
        reported, kind = self._endpoint.reported(status)
        # A count that is left out is 0, but not in a status that says nothing at all.
        is_silent = not reported and status.status == "UNKNOWN"
        if job.rows == reported and not is_silent:
            return _Result(job, ended="read")
        said = "no total" if job.total is None else f"a total of {job.total:,}"
        numbers = (
            f"{job.rows:,} rows were read, but the pages report {said} and the job's"
            f" status {'nothing' if is_silent else f'{reported:,} {kind}'}"
        )
        if self._settings.count_mismatch == "fail":
            return _failed(
                job,
                f"It is incomplete: {numbers}. It will be read again in the next run;"
                " to accept it as it is set `count_mismatch` to `warn`.",
            )
        return _Result(
            job,
            ended="read",
            text=f"Job {job.job_id}: {numbers}; accepted, as `count_mismatch` says.",
            level=logging.WARNING,
        )


@dataclass(frozen=True)
class _Result:
    """What a step led to. One without a job says that nothing has come.

    Attributes:
        page: The page that was read; its rows are those from `first` on.
        wait: Seconds until the job's next step is due; None if it is due now.
        ended: How the job ended: read, deferred, skipped or failed; "" if it goes on.
        reason: Why it failed.
        pause: Seconds for which all requests pause.
        text: A line for the user.
        crash: An error that is to be raised.
    """

    job: Job | None = None
    page: Page | None = None
    first: int = 0
    wait: float | None = None
    pause: float | None = None
    ended: str = ""
    reason: str = ""
    text: str = ""
    level: int = logging.INFO
    crash: Exception | None = None


def _failed(job: Job, reason: str, pause: float | None = None) -> _Result:
    return _Result(job, ended="failed", reason=reason, pause=pause)
