"""From the reader's events to RECORD, BATCH and STATE."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.metrics import Status, Tag
from singer_sdk.singerlib import SchemaMessage, StateMessage

from tap_fullstory_imports.conform import row_type
from tap_fullstory_imports.fullstory import (
    Job,
    JobEnded,
    PageRead,
    Reader,
    StopError,
    clock,
)
from tap_fullstory_imports.fullstory.pages import rows_check
from tap_fullstory_imports.messages import encode
from tap_fullstory_imports.outputs import output_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_fullstory_imports.fullstory import Event
    from tap_fullstory_imports.messages import BufferedWriter
    from tap_fullstory_imports.report import Report
    from tap_fullstory_imports.settings import Settings
    from tap_fullstory_imports.state import Bookmarks
    from tap_fullstory_imports.streams import JobStream

ROWS_PER_LOOK = 250
STATE_ROWS = 10_000
STATE_SECONDS = 5.0
STATE_SHARE = 0.015  # of the bytes written since the STATE before
LATEST_STATE_SECONDS = 60.0
SECONDS_PER_JOB = 10.0


class Sync:
    """Reads the jobs of some streams side by side, and writes what comes of them.

    A job is bookmarked when its last record has been written, so STATE never gets ahead
    of the records.
    """

    def __init__(  # noqa: PLR0913
        self,
        streams: Sequence[JobStream],
        settings: Settings,
        *,
        bookmarks: Bookmarks,
        writer: BufferedWriter,
        report: Report,
        look: Callable[[], None],
        most_rows: int | None = None,
    ) -> None:
        """Take what a run consists of.

        Args:
            streams: The streams, the most important one first.
            settings: The settings.
            bookmarks: The finished jobs.
            writer: Where the messages go.
            report: Where the events and counts go.
            look: Called often; may raise to end the run.
            most_rows: After how many rows to stop; None reads everything.
        """
        self._settings, self._bookmarks = settings, bookmarks
        self._writer, self._report, self._look = writer, report, look
        self._most_rows = most_rows
        self._streams = {stream.name: stream for stream in streams}
        self._outputs = {stream.name: output_of(stream, writer) for stream in streams}
        self._counters = {s.name: s.get_record_counter() for s in streams}
        self._unwritable: set[Job] = set()
        self._state = _StateClock(size=len(encode(bookmarks.state)))

    def run(self) -> None:
        """Read and write.

        Raises:
            TargetGoneError: If nobody reads stdout any more.
            SystemExit: If a signal ends the run.
        """
        jobs = [job for stream in self._streams.values() for job in self._todo(stream)]
        with ExitStack() as stack:
            for name, stream in self._streams.items():
                stack.enter_context(self._counters[name])
                timer = stack.enter_context(stream.get_sync_timer())
                timer.tags[Tag.STATUS] = Status.FAILED  # until the end is seen
                stack.callback(self._set_status, name, timer.tags)
                self._write_schema(stream)
            self._until_stopped(partial(self._read, jobs))
            for output in self._outputs.values():
                self._until_stopped(output.close)
            self._write_state()

    def _until_stopped(self, work: Callable[[], None]) -> None:
        """Do some work, and keep why it stopped the run, if it did."""
        try:
            work()
        except StopError as error:
            summary = self._report.summary
            summary.stopped = summary.stopped or str(error)

    def _set_status(self, name: str, tags: dict[str, object]) -> None:
        if not self._report.summary.has_failed(name):
            tags[Tag.STATUS] = Status.SUCCEEDED

    def _read(self, jobs: list[Job]) -> None:
        policy = self._settings.policy
        if self._most_rows is not None:
            policy = replace(policy, job_wait_timeout=0)
        reader = Reader(jobs, self._settings.client, policy)
        summary = self._report.summary
        try:
            with closing(reader.events()) as events:
                for event in events:
                    self.handle(event)
                    self._look_around()
                    if summary.rows_of(self._streams) == self._most_rows:
                        return
        finally:
            summary.count_requests(reader.requests, reader.waited)

    def _todo(self, stream: JobStream) -> list[Job]:
        """The jobs of a stream that are not finished."""
        job_ids = self._settings.jobs_of(stream.kind)
        self._bookmarks.begin(stream.name)
        already = [one for one in job_ids if (stream.name, one) in self._bookmarks]
        finished = frozenset(already)
        todo = [one for one in job_ids if one not in finished]
        self._report.start(stream.name, stream.kind, todo, already)
        endpoint = stream.endpoint
        if self._outputs[stream.name].keeps_json and not endpoint.is_status:
            endpoint = endpoint.split_by(rows_check(row_type(stream.schema)))
        return [Job(endpoint, job_id) for job_id in todo]

    def handle(self, event: Event) -> None:
        """Write or report what has come."""
        if isinstance(event, PageRead):
            self._write_page(event)
        elif isinstance(event, JobEnded):
            self._finish(event)
        else:
            self._report.show(event)

    def _write_page(self, page: PageRead) -> None:
        """Write the rows of a page, a few at a time."""
        name, job = page.job.endpoint.name, page.job
        stream, output = self._streams[name], self._outputs[name]
        rows = page.rows[: self._most_rows]
        for start in range(0, len(rows), ROWS_PER_LOOK):
            part = rows[start : start + ROWS_PER_LOOK]
            try:
                records = stream.to_records(part, job.job_id, page.first + start)
                written = output.write(records)
            except RecursionError:
                self._unwritable.add(job)
                continue
            self._report.summary.count(name, written)
            self._counters[name].increment(written.rows)
            self._state.rows += len(part)
            self._look_around()
            self._report.show_progress(job, page.first + start + len(part))

    def _finish(self, ended: JobEnded) -> None:
        """Report that a job has ended, and bookmark it if it has been read."""
        job, name = ended.job, ended.job.endpoint.name
        stream = self._streams[name]
        if unreadable := stream.unreadable_timestamps.pop(job.job_id, None):
            self._report.show_unreadable(job, *unreadable)
        if ended.outcome == "read" and job in self._unwritable:
            reason = "It has a row that is nested too deeply to be written."
            ended = JobEnded(job, "failed", reason)
        self._report.end(ended)
        is_whole = ended.outcome == "read" and self._most_rows is None
        if is_whole and stream.is_final(job.job_id):
            self._outputs[name].finish(partial(self._bookmark, job, job.rows))

    def _bookmark(self, job: Job, rows: int) -> None:
        self._bookmarks.finish(job.endpoint.name, job.job_id, rows)
        self._state.job_ended()

    def _look_around(self) -> None:
        """Do what can't wait: handle signals, a closed stdout and overdue flushes."""
        try:
            self._look()
        except SystemExit:
            self._write_state()
            raise
        # Checked here, because BATCH can go a long time without a write to stdout.
        self._writer.check_reader()
        if self._state.is_due(self._writer.bytes_added):
            self._write_state()
        self._writer.flush_if_old()

    def _write_schema(self, stream: JobStream) -> None:
        for stream_map in stream.stream_maps:
            if not isinstance(stream_map, RemoveRecordTransform):
                self._writer.write_message(
                    SchemaMessage(
                        stream_map.stream_alias,
                        stream_map.transformed_schema,
                        stream_map.transformed_key_properties or (),
                    )
                )

    def _write_state(self) -> None:
        before = self._writer.bytes_added
        self._writer.write_message(StateMessage(value=self._bookmarks.state))
        self._state.written(before, self._writer.bytes_added)


class _StateClock:
    """When the next STATE is due.

    STATE names all finished jobs, so it grows from one to the next. It is written again
    when it adds little to what has been written since: its bytes stay a small part of
    all bytes, however many jobs there are. It is also written after a minute if fewer
    than one job ends in ten seconds.
    """

    def __init__(self, size: int) -> None:
        """Start without anything to write; STATE would have so many bytes."""
        self.rows = 0
        self._jobs = 0
        self._since: float | None = None
        self._size, self._bytes_before = size, 0

    def job_ended(self) -> None:
        """Note that a job has been bookmarked."""
        self._jobs += 1
        self._since = clock.now() if self._since is None else self._since

    def is_due(self, bytes_added: int) -> bool:
        """Whether to write STATE, after so many bytes of all messages."""
        waited = 0.0 if self._since is None else clock.now() - self._since
        if waited < STATE_SECONDS and self.rows < STATE_ROWS:
            return False
        is_small = self._size <= STATE_SHARE * (bytes_added - self._bytes_before)
        is_late = waited >= max(LATEST_STATE_SECONDS, SECONDS_PER_JOB * self._jobs)
        return is_small or is_late

    def written(self, before: int, after: int) -> None:
        """Note that STATE has been written, between these numbers of bytes."""
        self._size, self._bytes_before = after - before, after
        self.rows, self._jobs, self._since = 0, 0, None
