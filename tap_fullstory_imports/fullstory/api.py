"""Many requests: how many at once, how fast, how often again, and when to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import backoff
import requests
from singer_sdk.streams.rest import PageContext

from tap_fullstory_imports.fullstory.answers import (
    AccessError,
    FullstoryError,
    JobError,
    NoAnswerError,
    RateLimitError,
    RetriableError,
    StopError,
)
from tap_fullstory_imports.fullstory.pace import Pace
from tap_fullstory_imports.fullstory.pages import Page
from tap_fullstory_imports.fullstory.session import Thread
from tap_fullstory_imports.fullstory.stream import JobStream
from tap_fullstory_imports.reporting.report import Report
from tap_fullstory_imports.reporting.words import many
from tap_fullstory_imports.settings.settings import Settings

STUCK_LIMITS = 3  # for the headers, for a silence, and for the rest
MOST_REFUSED = 3  # jobs of a stream in a row, before the key counts as refused
MOST_SLEEPERS = 1_000


class Api:
    """Asks for pages and statuses of many jobs, side by side.

    Until the API has accepted a request, and again after a silence of the API, one
    request is under way at a time. So an unreachable host or a refused key costs few
    requests, and one bad job does not stop the others.

    Attributes:
        slots: How many jobs may be read at once; one that waits gives way to another.
    """

    def __init__(
        self, settings: Settings, report: Report, now: Callable[[], float]
    ) -> None:
        """Start before the first request; `now` tells seconds."""
        self._settings, self._report, self._now = settings, report, now
        self._pace, self._turn = Pace(), asyncio.Lock()
        self.slots = asyncio.Semaphore(settings.concurrency)
        self._sleepers = 0
        self._threads: list[Thread] = []
        self._is_accepted = False
        self._answered_at = self._silent_at = -1.0
        self._silences, self._silence_waits = 0, retry_waits()
        self._refused: dict[str, int] = {}  # jobs in a row, by stream
        self._stop: StopError | None = None

    async def ask(
        self, stream: JobStream, job_id: str, token: str | None = None
    ) -> tuple[requests.Response, Page]:
        """Ask for a page of a job, or for its status; retry after temporary failures.

        Raises:
            NotReadyError: If the job is still processing.
            JobError: If the job can't be read.
            StopError: If no job can be read.
        """
        most, waits = self._settings.max_retry_wait, retry_waits()
        for attempt in range(1, self._settings.max_attempts + 1):
            try:
                return await self._attempt(stream, job_id, token)
            except RetriableError as error:
                failure, wait = error, error.wait or next(waits)
            if failure.wait is not None and failure.wait > most:
                msg = (
                    f"{failure}, and it asks to wait {failure.wait:g} s, longer than"
                    f" `max_retry_wait` ({most:g} s) allows. Run again later, or raise"
                    " `max_retry_wait`."
                )
                raise JobError(msg, failure.status)
            if attempt < self._settings.max_attempts:
                text = f"{failure}; attempt {attempt} of {self._settings.max_attempts}"
                later = f", the next one in {wait:.1f} s"
                self._report.retry(stream.name, job_id, text, later)
                await self._sleep(wait)
        msg = f"{failure}; given up after {many(attempt, 'attempt')}."
        raise JobError(msg, failure.status)

    async def _attempt(
        self, stream: JobStream, job_id: str, token: str | None
    ) -> tuple[requests.Response, Page]:
        """Send a request when its turn comes; again while the limit is used up."""
        while True:
            async with self._may_send() as started:
                try:
                    answer = await self._send(stream, job_id, token)
                except RateLimitError as error:
                    self._limited(stream, job_id, started, error)
                except FullstoryError as error:
                    self._pace.answered(started)
                    await self._failed(stream, started, error)
                    raise
                else:
                    self._pace.answered(started)
                    self._accepted(stream)
                    return answer

    @asynccontextmanager
    async def _may_send(self) -> AsyncIterator[float]:
        """Wait for the turn of the next request; keep it until the API accepts one."""
        await self._turn.acquire()
        is_alone = True
        try:
            while (start := self._pace.next_start(self._now())) > self._now():  # noqa: ASYNC110
                await asyncio.sleep(start - self._now())
            if self._stop:
                raise self._stop
            is_alone = not self._is_accepted
            started = self._now()
            self._pace.start(started)
            if not is_alone:
                self._turn.release()
            yield started
        finally:
            if is_alone:
                self._turn.release()

    async def _send(
        self, stream: JobStream, job_id: str, token: str | None
    ) -> tuple[requests.Response, Page]:
        thread = self._threads.pop() if self._threads else Thread()
        self._report.request(stream.name)
        seconds = STUCK_LIMITS * self._settings.request_timeout
        try:
            # Not `wait_for`, which forgets in Python 3.11 that the run has been ended.
            async with asyncio.timeout(seconds):
                answer = await thread.call(_exchange, stream, job_id, token)
        except TimeoutError:  # the thread is lost: another one will take its place
            msg = f"no answer within {seconds:g} s, though the server keeps sending"
            raise NoAnswerError(msg) from None
        except FullstoryError:
            self._threads.append(thread)
            raise
        self._threads.append(thread)
        return answer

    # What an answer says about all jobs

    def _accepted(self, stream: JobStream) -> None:
        self._is_accepted, self._answered_at = True, self._now()
        self._refused[stream.name] = 0
        self._silences, self._silence_waits = 0, retry_waits()

    async def _failed(
        self, stream: JobStream, started: float, error: FullstoryError
    ) -> None:
        """Count silences and refusals; stop the run when they are too many."""
        if isinstance(error, NoAnswerError):
            # Unless another request was answered, or reported the same silence.
            if started > max(self._answered_at, self._silent_at):
                await self._silent(error)
            return
        self._answered_at, self._silences = self._now(), 0
        if isinstance(error, StopError):
            self._stop = error
        elif isinstance(error, AccessError):
            self._refused[stream.name] = self._refused.get(stream.name, 0) + 1
            if self._refused[stream.name] >= MOST_REFUSED:
                raise self._stopped(str(error))
        elif not isinstance(error, RetriableError):
            self._accepted(stream)

    async def _silent(self, error: NoAnswerError) -> None:
        self._is_accepted, self._silent_at = False, self._now()
        self._silences += 1
        if self._silences >= self._settings.max_attempts:
            raise self._stopped(
                f"Fullstory can't be reached at {self._settings.api_url}: {error};"
                f" given up after {many(self._silences, 'attempt')}. Check `api_url`"
                " and the network."
            )
        await asyncio.sleep(next(self._silence_waits))

    def _limited(
        self, stream: JobStream, job_id: str, started: float, error: RateLimitError
    ) -> None:
        """Pause all requests, or stop the run if the pause would be too long."""
        now, most = self._now(), self._settings.max_retry_wait
        self._answered_at, self._silences = now, 0
        self._pace.refused(now, started, error.wait)
        pause, seconds = self._pace.paused(now), self._pace.refused_for(now)
        if (error.wait or 0) > most:
            reason = f"it asks to wait {error.wait:g} s"
        elif seconds + pause > most:
            reason = f"for {seconds:.0f} s it has answered nothing else"
        else:
            later = f"; requests resume in {pause:.1f} s"
            self._report.retry(stream.name, job_id, str(error), later)
            return
        raise self._stopped(
            f"{error}, and {reason}, longer than `max_retry_wait` ({most:g} s) allows."
            " Run again later, or raise `max_retry_wait`."
        )

    def _stopped(self, reason: str) -> StopError:
        self._stop = StopError(reason)
        return self._stop

    async def _sleep(self, seconds: float) -> None:
        """Wait before a job is tried again; meanwhile another one may be open."""
        if self._sleepers >= MOST_SLEEPERS:
            await asyncio.sleep(seconds)
            return
        self._sleepers += 1
        self.slots.release()
        await asyncio.sleep(seconds)
        await self.slots.acquire()
        self._sleepers -= 1


def _exchange(
    stream: JobStream, job_id: str, token: str | None
) -> tuple[requests.Response, Page]:
    """Send a request by the hooks of its stream, and read the answer."""
    page: PageContext[Any] = PageContext({"job_id": job_id}, token)
    request = stream.get_http_request(page=page)
    how = {"params": request.encode_params(), "headers": request.headers}
    prepared = stream.build_prepared_request(request.method, request.url, **how)
    response = stream.requests_session.send(prepared)
    stream.validate_response(response)
    answer = stream.parse_response(response)
    if not isinstance(answer, Page):
        raise TypeError("A stream gives no page.")
    return response, answer


def retry_waits() -> Generator[float, Any, None]:
    """Seconds between the attempts of a request: 1, 2, 4 … 60, each with jitter."""
    waits = backoff.expo(base=2, factor=1, max_value=60)
    next(waits)  # starts the generator
    return (backoff.random_jitter(wait) for wait in waits)
