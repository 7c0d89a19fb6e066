"""Reads many jobs at once by threads, and hands out events in one thread.

The unit of work is one request for one job. Between two requests a job may have to
wait, for its import to end or for the API to recover. Meanwhile the threads take other
jobs that are due.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import clock, reasons
from tap_fullstory_imports.fullstory.events import PageRead, Waiting
from tap_fullstory_imports.fullstory.gate import Gate
from tap_fullstory_imports.fullstory.plan import Plan

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Generator, Iterable

    from tap_fullstory_imports.fullstory.client import Client
    from tap_fullstory_imports.fullstory.events import Event
    from tap_fullstory_imports.fullstory.job import Job, Policy

TICK_SECONDS = 0.25
PAGES_PER_THREAD = 2
STUCK_LIMITS = 3  # for the headers, for a silence, and for the rest


class Reader:
    """Runs the threads that fetch pages.

    The pages of a job arrive in their order. The reader asks only for pages that it has
    room for: two for each thread, including the page that is being worked on.
    """

    def __init__(self, jobs: Iterable[Job], client: Client, policy: Policy) -> None:
        """Take the jobs in their order. `events` makes the first request."""
        self._client, self._policy = client, policy
        self._plan = Plan(jobs, policy, Gate(client.url, policy))
        self._threads = min(policy.concurrency, self._plan.open)
        self._in_flight: dict[Job, float] = {}  # since when, by `time.monotonic`
        self._outbox: deque[Event | Exception] = deque()
        self._pages = 0  # in the outbox or being worked on
        self._closed = False
        self._changed = threading.Condition()

    @property
    def requests(self) -> Counter[str]:
        """How many requests were sent, by endpoint name."""
        return self._plan.requests

    @property
    def waited(self) -> float:
        """Seconds in which every job that was left had to wait."""
        return self._plan.waited

    def close(self) -> None:
        """Make no more requests. A request under way ends by itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # In the thread of the caller

    def events(self) -> Generator[Event, None, None]:
        """Read the jobs.

        Yields:
            What has arrived. A `JobEnded` follows when the caller has worked on the
            last page of its job.

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
                if isinstance(event, PageRead):
                    self._make_room(event)
        finally:
            self.close()

    def _start_thread(self) -> None:
        threading.Thread(target=self._fetch, name="fetch-jobs", daemon=True).start()

    def _next_event(self) -> Event | Exception | None:
        """Return the next event; `Waiting` after a moment without any; None at last."""
        with self._changed:
            if not self._outbox and not self._plan.open:
                return None
            self._abandon_stuck()
            if not self._outbox:
                self._hand_out(self._plan.give_up(clock.now()))
            waiting = None if self._outbox else self._wait()
            if self._outbox:
                return self._outbox.popleft()
            return waiting or Waiting(asked=tuple(self._in_flight))

    def _wait(self) -> Waiting | None:
        """Wait a moment; return what for, if every job that is left has to wait."""
        now = clock.now()
        waiting = self._plan.waiting(now, len(self._in_flight))
        clock.wait(self._changed, TICK_SECONDS)
        if waiting is not None:
            self._plan.count_wait(waiting, clock.now() - now)
        return waiting

    def _make_room(self, page: PageRead) -> None:
        """Free the memory of a page that has been worked on."""
        page.rows.clear()  # the caller may still hold the page
        with self._changed:
            self._pages -= 1
            self._changed.notify_all()

    def _abandon_stuck(self) -> None:
        """Fail each job whose request outlasts all time limits of the client.

        A server can send a byte now and then without end, for example in the headers.
        Another thread takes the place of the one that reads them.
        """
        oldest = time.monotonic() - STUCK_LIMITS * self._client.timeout
        for job in [job for job, since in self._in_flight.items() if since < oldest]:
            del self._in_flight[job]
            reason = reasons.stuck(STUCK_LIMITS * self._client.timeout)
            self._hand_out([self._plan.abandon(job, reason)])
            self._start_thread()

    # In any thread, with the lock

    def _hand_out(self, events: Iterable[Event]) -> None:
        for event in events:
            self._outbox.append(event)
            self._pages += isinstance(event, PageRead)
        self._changed.notify_all()

    # In the fetching threads

    def _fetch(self) -> None:
        try:
            while (job := self._take()) is not None and self._step(job):
                pass
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            with self._changed:
                self._outbox.append(error)
            self.close()
        finally:
            self._client.close()

    def _take(self) -> Job | None:
        """Return the next job when it is due and its page has room; None at the end."""
        with self._changed:
            while not self._closed:
                now, start = clock.now(), None
                in_flight = len(self._in_flight)
                if self._pages + in_flight < PAGES_PER_THREAD * self._threads:
                    start = self._plan.next_start(now, in_flight)
                if start is not None and start <= now:
                    job = self._plan.begin(now)
                    self._in_flight[job] = time.monotonic()
                    self._changed.notify_all()
                    return job
                clock.wait(self._changed, None if start is None else start - now)
            return None

    def _step(self, job: Job) -> bool:
        """Make one request; return False if `_abandon_stuck` has replaced the thread.

        Raises:
            StopError: If no job can be read.
        """
        step = job.step(self._client, self._policy)
        with self._changed:
            if self._in_flight.pop(job, None) is None:
                return False
            self._hand_out(self._plan.take(job, step, clock.now()))
            return True
