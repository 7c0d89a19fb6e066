"""One job, from its status to its bookmark. Read it from top to bottom."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import cast

from tap_fullstory_imports.fullstory.answers import (
    AccessError,
    JobError,
    MissingJobError,
    NotReadyError,
)
from tap_fullstory_imports.fullstory.api import Api
from tap_fullstory_imports.fullstory.pages import Page, Status
from tap_fullstory_imports.fullstory.stream import JobStream
from tap_fullstory_imports.jobs import verdicts
from tap_fullstory_imports.jobs.verdicts import AgainError, CountsError
from tap_fullstory_imports.reporting.report import Report
from tap_fullstory_imports.reporting.words import many
from tap_fullstory_imports.settings.settings import Settings
from tap_fullstory_imports.singer.output import Output

MOST_READINGS = 3  # where Fullstory's answers say that they are not final
MOST_COUNTS = 2  # where the last one ends with a wrong number of rows
MOST_EMPTY_PAGES = 100
ROWS_AT_ONCE = 500  # between two looks at signals


@dataclass(frozen=True)
class Means:
    """What all jobs of a run share."""

    api: Api
    output: Output
    report: Report
    settings: Settings
    most_rows: int | None = None  # of each stream; None for all


@dataclass
class _Readings:
    """What is known of a job from its earlier readings, for one stream."""

    in_vain: int = 0
    most_rows: int = 0
    replaced: int = 0  # characters


@dataclass(eq=False, slots=True)
class Job:
    """One job, and the streams for which it has not been read yet."""

    means: Means
    kind: str
    job_id: str
    streams: list[JobStream]
    status_stream: JobStream  # by which the status is asked, selected or not
    is_unfinished: bool = False  # at the last look its import was still running
    wait: float | None = None  # as Fullstory asks, in seconds; None if it does not
    due: float = 0.0  # when it may be read again; 0 before it has been read
    status: Status | None = None  # if the last reading has asked for it
    _readings: defaultdict[str, _Readings] = field(
        default_factory=lambda: defaultdict(_Readings)
    )

    async def read(self) -> None:
        """Read what is left of the job; afterwards `streams` holds what still is."""
        needs_status = self._needs_status()
        self.is_unfinished, self.wait, self.status = False, None, None
        if needs_status and not await self._read_status():
            return
        for stream in [one for one in self.streams if one.place]:
            try:
                await self._read_stream(stream)
            except NotReadyError as not_ready:
                self.is_unfinished, self.wait = True, not_ready.wait
            except JobError as error:
                self._fail(stream, error)
            except AgainError as error:
                self._read_again(stream, error)
            except RecursionError:
                msg = "It has a row that is nested too deeply to be written."
                self._fail(stream, JobError(msg))

    # The status

    def _needs_status(self) -> bool:
        """Whether the status comes first.

        It is a record of the stream of jobs, it says whether there are errors, and it
        tells more where the pages alone were not enough in the last reading.
        """
        return self.status is not None or any(
            stream is self.status_stream
            or stream.skips_without_rows
            or self._readings[stream.name].in_vain
            for stream in self.streams
        )

    async def _read_status(self) -> bool:
        """Ask for the status; return whether it is time to read the pages."""
        stream, is_wanted = self.status_stream, self.status_stream in self.streams
        try:
            status = await self._ask_status()
        except MissingJobError as error:
            for one in [*self.streams]:
                self._fail(one, error)
            return False
        except NotReadyError as not_ready:
            self.is_unfinished, self.wait = True, not_ready.wait
            return False
        except JobError as error:  # the pages can be read without it
            if is_wanted:
                self._fail(stream, error)
            return True
        self.is_unfinished = not status.is_final
        if is_wanted and status.is_final:
            await self._write(stream, status, 0)
            self._end(stream, 1)
        return status.is_final

    async def _ask_status(self) -> Status:
        _, answer = await self.means.api.ask(self.status_stream, self.job_id)
        self.status = status = cast("Status", answer)
        return status

    async def _final_status(self) -> Status:
        """The status in this reading, if the import has ended."""
        status = self.status or await self._ask_status()
        if not status.is_final:
            raise NotReadyError("The job is still processing.")
        return status

    # The pages

    async def _read_stream(self, stream: JobStream) -> None:
        """Read the rows of a stream, judge whether they are all, and note it."""
        readings = self._readings[stream.name]
        if self.status:  # its counts say nothing while the import still runs
            status = await self._final_status()
            if stream.skips_without_rows and not stream.reported(status):
                self._end(stream, 0)
                return
        readings.replaced = 0
        stream.unreadable.pop(self.job_id, None)
        rows, total = await self._read_pages(stream)
        readings.most_rows = max(rows, readings.most_rows)
        is_proven = rows and rows == total
        if self.means.most_rows is None and not is_proven:
            verdicts.judge(stream, rows, total, await self._final_status())
        self._end(stream, rows)

    async def _read_pages(self, stream: JobStream) -> tuple[int, int | None]:
        """Write the pages of a stream; return the number of rows and their total."""
        api, report = self.means.api, self.means.report
        paginator = stream.get_new_paginator()
        rows, empty_pages, total = 0, 0, None
        while not paginator.finished:
            token = paginator.current_value
            try:
                response, page = await api.ask(stream, self.job_id, token)
            except NotReadyError:
                if token is None:
                    raise
                raise AgainError(verdicts.CHANGED) from None
            except JobError as error:
                if token is None or not error.means_expired_token:
                    raise
                raise verdicts.expired(error) from None
            paginator.advance(response)
            if None not in (page.total, total) and page.total != total:
                raise AgainError(verdicts.CHANGED)
            total = total if page.total is None else page.total
            await self._write(stream, page, rows)
            rows, empty_pages = rows + len(page), 0 if page else empty_pages + 1
            del response, page  # or two pages would be in memory
            report.page(stream.name, self.job_id, rows, total)
            if self.means.most_rows is not None and rows:
                break
            if not paginator.finished:
                await self._check_end(stream, rows, total, empty_pages)
        return rows, total

    async def _check_end(
        self, stream: JobStream, rows: int, total: int | None, empty_pages: int
    ) -> None:
        """Fail the job if its pages go on after all rows, or without rows."""
        if empty_pages >= MOST_EMPTY_PAGES:
            raise verdicts.endless(f"the last {empty_pages} of them were empty")
        if total is not None and rows <= total:
            return
        reported = stream.reported(await self._final_status())
        if rows > reported:
            counts = verdicts.counts(stream, total, reported)
            raise verdicts.endless(f"{many(rows, 'row')} were read, but {counts}")

    async def _write(self, stream: JobStream, page: Page, first: int) -> None:
        """Write the rows of a page, a few at a time."""
        self._readings[stream.name].replaced += page.replaced
        rows = page[: self.means.most_rows]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            records = [
                stream.to_record(row, self.job_id, index)
                for index, row in enumerate(part, start=first + start)
            ]
            written = await self.means.output.write(stream, records)
            self.means.report.written(stream.name, written, len(part) - written)
            await asyncio.sleep(0)

    # How it ends

    def _read_again(self, stream: JobStream, error: AgainError) -> None:
        """Leave a stream to a later round, or decide at the last reading."""
        readings = self._readings[stream.name]
        readings.in_vain += 1
        is_miscount = isinstance(error, CountsError) and error.rows
        if readings.in_vain < (MOST_COUNTS if is_miscount else MOST_READINGS):
            return
        is_accepted = self.means.settings.count_mismatch == "warn"
        if isinstance(error, CountsError) and is_accepted:
            text = f"{error.numbers}. Accepted, because `count_mismatch` is `warn`."
            self.means.report.warn(stream.name, self.job_id, text)
            self._end(stream, error.rows)
        else:
            self._fail(stream, JobError(str(error)))

    def _end(self, stream: JobStream, rows: int) -> None:
        """Note that all rows of a stream have been written, and bookmark the job."""
        report, readings = self.means.report, self._readings[stream.name]
        self.streams.remove(stream)
        if rows < readings.most_rows:
            text = verdicts.fewer_rows(readings.most_rows, rows)
            report.warn(stream.name, self.job_id, text)
        if seen := stream.unreadable.pop(self.job_id, None):
            report.warn(stream.name, self.job_id, verdicts.unreadable(*seen))
        if readings.replaced:
            text = verdicts.replaced(readings.replaced)
            report.warn(stream.name, self.job_id, text)
        report.ended(stream.name, self.job_id, "read")
        if self.means.most_rows is None:
            self.means.output.finish(stream, self.job_id)

    def _fail(self, stream: JobStream, error: JobError) -> None:
        """Give a stream up, or leave out a job that the API does not know."""
        self.streams.remove(stream)
        policy = self.means.settings.missing_jobs
        outcome, text = verdicts.failed(stream.kind, error, policy)
        if isinstance(error, AccessError):
            self.means.report.refused(stream.name)
        self.means.report.ended(stream.name, self.job_id, outcome, text)

    async def end_unfinished(self, seconds: float) -> None:
        """End a job whose import still runs; its status is recorded as it is."""
        policy, report = self.means.settings.unfinished_jobs, self.means.report
        outcome, text = verdicts.unfinished(self.status, seconds, policy)
        for stream in self.streams:
            if stream is self.status_stream and self.status:
                await self._write(stream, self.status, 0)
                report.ended(stream.name, self.job_id, "read")
            else:
                report.ended(stream.name, self.job_id, outcome, text)
        self.streams = []
