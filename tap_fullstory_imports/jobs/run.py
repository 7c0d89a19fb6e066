"""All jobs side by side, round by round; and how a run ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import backoff

from tap_fullstory_imports.fullstory.answers import StopError
from tap_fullstory_imports.fullstory.api import Api
from tap_fullstory_imports.fullstory.stream import JobStream
from tap_fullstory_imports.jobs.job import Job, Means
from tap_fullstory_imports.reporting.report import Report
from tap_fullstory_imports.reporting.words import many, named
from tap_fullstory_imports.settings.settings import Settings
from tap_fullstory_imports.singer.output import Output
from tap_fullstory_imports.singer.state import Bookmarks
from tap_fullstory_imports.singer.writer import TargetGoneError, Writer

TICK_SECONDS = 1.0
END_SECONDS = 10.0  # real ones: a target that takes nothing for so long is left alone
_EXPECTED = StopError, TargetGoneError
_SIGNALS = "SIGINT", "SIGTERM", "SIGHUP"


@dataclass(eq=False, repr=False)  # `signal` shows what has a handler
class Run:
    """Reads the jobs of the selected streams, and writes their records.

    A round reads all jobs once, and makes no more tasks than jobs may be open. A job
    whose import still runs, or that was not read whole, is read again in the next one.
    """

    streams: Sequence[JobStream]  # to read, the most important one first
    statuses: dict[str, JobStream]  # the stream of statuses for each kind of jobs
    settings: Settings
    bookmarks: Bookmarks
    writer: Writer
    logger: logging.Logger
    most_rows: int | None = None  # of each stream; None for all
    _reading: asyncio.Task[None] | None = None
    _ended_by: BaseException | None = None
    _signal: int = 0
    _force: threading.Timer | None = None
    _jobs: list[Job] = field(default_factory=list)  # that are left
    _waited: float = 0.0  # in vain, for imports that still run

    def __call__(self) -> int:
        """Read and write; return the exit code."""
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            with self._handled_signals():
                return runner.run(self._main())

    # How a run ends

    async def _main(self) -> int:
        report = Report(self.logger, self.settings, self._loop.time)
        try:
            await self._read_all(report)
        except (StopError, TargetGoneError) as error:  # while it was being closed
            self._ended_by = self._ended_by or error
        left = [(job.kind, job.job_id) for job in self._jobs if job.streams]
        is_test = self.most_rows is not None
        status = report.end(self._reason(), self._waited, left, test=is_test)
        if self._signal:
            return 128 + self._signal
        if self._ended_by and not isinstance(self._ended_by, _EXPECTED):
            raise self._ended_by
        return status

    async def _read_all(self, report: Report) -> None:
        now = self._loop.time
        output = Output(self.streams, self.bookmarks, self.writer, now)
        api = Api(self.settings, report, now)
        means = Means(api, output, report, self.settings, self.most_rows)
        keeping_up = asyncio.create_task(self._keep_up(means))
        self._reading = asyncio.create_task(self._rounds(means))
        if self._signal:
            self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        keeping_up.cancel()
        report.progress.close()  # shows the cursor, even if the rest is ended by force
        if not isinstance(self._ended_by, TargetGoneError):
            await output.close(is_cut=bool(self._signal))

    def _stop(self, error: BaseException) -> None:
        """End the run because of an error; only the first one counts."""
        if self._ended_by is None and self._reading:
            self._ended_by = error
            self._reading.cancel()

    def _reason(self) -> str:
        """Why the run ended before its end, for the user; empty if it did not."""
        if self._signal:
            name = signal.Signals(self._signal).name
            return f"{name} ended the run. The next run reads the jobs that are left."
        if self._ended_by and not isinstance(self._ended_by, _EXPECTED):
            return "An unexpected error ended the run: please report it."
        return str(self._ended_by or "")

    @contextmanager
    def _handled_signals(self) -> Iterator[None]:
        """Handle signals in the place of the SDK, which would cut a line of stdout."""
        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        if threading.current_thread() is not threading.main_thread():
            numbers = []
        kept = {n: signal.getsignal(n) for n in numbers}
        for number in [n for n, how in kept.items() if how is not signal.SIG_IGN]:
            signal.signal(number, self._end_soon)
        try:
            yield
        finally:
            if self._force:
                self._force.cancel()
            for number, how in kept.items():
                signal.signal(number, how)

    def _end_soon(self, number: int, _frame: FrameType | None) -> None:
        """End the run at the next whole line; by force if that takes too long."""
        if self._signal:
            return
        self._signal = number
        self.writer.end_soon()
        self._force = threading.Timer(END_SECONDS, os._exit, [128 + number])
        self._force.daemon = True
        self._force.start()
        if self._reading:
            self._loop.call_soon_threadsafe(self._reading.cancel)

    # What a run does

    async def _rounds(self, means: Means) -> None:
        """Read all jobs; then, after a while, those that are left."""
        limit = 0 if self.most_rows else self.settings.job_wait_timeout
        jobs, waits = self._todo(means), round_waits()
        self._jobs = jobs
        while jobs:
            await self._wait(jobs, limit)
            began = self._loop.time()
            is_last = self._waited >= limit
            due = [job for job in jobs if is_last or job.due <= began]
            await self._round(means, due)
            left = [job for job in jobs if job.streams]
            if len(left) == len(jobs) and all(job.due for job in due):
                self._waited += self._loop.time() - began  # nothing else was read
            if self._waited >= limit:
                for job in [job for job in left if job.is_unfinished]:
                    await job.end_unfinished(self._waited)
                    means.report.done(job.kind, job.job_id, job.status)
            self._jobs = jobs = [job for job in left if job.streams]
            now, usual = self._loop.time(), next(waits)
            for job in due:
                job.due = now + (usual if job.wait is None else job.wait)

    def _todo(self, means: Means) -> list[Job]:
        """The jobs that are not finished, each with the streams that lack it."""
        jobs: dict[tuple[str, str], Job] = {}
        for stream in self.streams:
            already = [
                one for one in stream.job_ids if (stream.name, one) in self.bookmarks
            ]
            todo = len(stream.job_ids) - len(already)
            means.report.start(stream.name, stream.kind, todo, len(already))
            finished = frozenset(already)
            for job_id in stream.job_ids:
                if job_id in finished:
                    continue
                key = stream.kind, job_id
                if key not in jobs:
                    jobs[key] = Job(means, *key, [], self.statuses[stream.kind])
                jobs[key].streams.append(stream)
        listed = {(one.kind, job_id) for one in self.streams for job_id in one.job_ids}
        means.report.already_read(len(listed) - len(jobs))
        means.report.progress.jobs = len(jobs)
        return [*jobs.values()]

    async def _round(self, means: Means, jobs: list[Job]) -> None:
        """Read each of the jobs once."""
        async with asyncio.TaskGroup() as tasks:
            for job in jobs:
                await means.api.slots.acquire()
                reading = tasks.create_task(self._read(means, job))
                if self.most_rows:
                    await reading

    async def _read(self, means: Means, job: Job) -> None:
        if self.most_rows:
            has_enough = means.report.settled(self.most_rows)
            job.streams = [one for one in job.streams if one.name not in has_enough]
        try:
            await job.read()
        except Exception as error:  # noqa: BLE001 - `_main` raises what is unexpected
            self._stop(error)
        finally:
            means.api.slots.release()
        if not job.streams:
            means.report.done(job.kind, job.job_id, job.status)

    async def _wait(self, jobs: list[Job], limit: float) -> None:
        """Wait until a job is due, as long as waiting is allowed."""
        left = min(job.due for job in jobs) - self._loop.time()
        left = min(left, limit - self._waited)
        if left <= 0:
            return
        if unfinished := [job.job_id for job in jobs if job.is_unfinished]:
            self.logger.info(
                "Waiting for %s (%s): %.0f of at most %g s.",
                many(len(unfinished), "unfinished job"),
                named(unfinished, len(unfinished)),
                self._waited,
                limit,
            )
        end = self._loop.time() + left
        try:
            await asyncio.sleep(left)
        finally:
            self._waited += left - max(0.0, end - self._loop.time())

    async def _keep_up(self, means: Means) -> None:
        """Do every second what can't wait for the next page."""
        with suppress(asyncio.CancelledError):
            while True:
                try:
                    await means.output.keep_up()
                except TargetGoneError as error:
                    self._stop(error)
                    return
                means.report.keep_up()
                await asyncio.sleep(TICK_SECONDS)


def round_waits() -> Generator[float, Any, None]:
    """Seconds between two readings of a job: 2, 4, 8, 16, 30, 30 …."""
    waits = backoff.expo(base=2, factor=2, max_value=30)
    next(waits)  # starts the generator
    return waits
