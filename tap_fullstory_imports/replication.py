"""From the pages of many jobs to records and STATE, within the SDK's sync.

All that replaces a part of the SDK stands here and in `client.py`; the test
`test_sdk_overrides.py` fails when the SDK changes below it.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import StreamSchema
from singer_sdk.singerlib import StateMessage
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_fullstory_imports import clock, errors
from tap_fullstory_imports.bookmarks import Bookmarks
from tap_fullstory_imports.client import FullstoryStream
from tap_fullstory_imports.jobs import JobEnded, Jobs, PageRead, WaitBudget
from tap_fullstory_imports.schemas import SCHEMAS

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.singerlib import Catalog

    from tap_fullstory_imports.pages import Status
    from tap_fullstory_imports.report import Counts
    from tap_fullstory_imports.tap import TapFullstoryImports

STATE_SECONDS = 5.0
ROWS_PER_LOOK = 250


class JobStream(FullstoryStream):
    """Rows of many jobs, replicated job by job.

    A job that has been read in full is bookmarked and never asked for again. One that
    was cut off is read again from its first page: its rows have the same keys then, so
    that a target overwrites what it has.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # JSON comes in, JSON goes out
    schema = StreamSchema(SCHEMAS)
    waits: ClassVar[bool] = True  # for jobs that are still processing

    def __init__(self, tap: TapFullstoryImports) -> None:
        """Make the stream of a tap."""
        super().__init__(tap)
        self.forced_replication_method = REPLICATION_INCREMENTAL
        self._jobs: Jobs
        self._unwritable: set[str] = set()
        self._state_is_new = True
        self._rows_since_state = 0
        self._job_ended: float | None = None

    @cached_property
    def _bookmarks(self) -> Bookmarks:
        return Bookmarks(self.tap_state, self.name)

    @cached_property
    def _counts(self) -> Counts:
        return self._tap.report.of(self.name)

    @abstractmethod
    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        """Make a record of a row of a job; the row may be changed for it."""

    @abstractmethod
    def reported(self, status: Status) -> tuple[int, str]:
        """How many rows a job status promises, and what they are."""

    def job_ended(self, job_id: str) -> None:
        """Called when nothing more comes of a job."""

    def is_final(self, job_id: str) -> bool:  # noqa: ARG002 - for those that override it
        """Whether the rows of a job, all read, are the same for ever."""
        return True

    @override
    def get_records(
        self, context: Mapping[str, Any] | None
    ) -> Iterable[dict[str, Any]]:
        """Read all jobs that are not bookmarked.

        When this is resumed after a record, the record has been written, or stands in a
        batch file: a job is noted as finished when it is resumed after its last one.

        Args:
            context: Not used: the jobs are no partitions.

        Yields:
            The records of each job in their order; those of different jobs may mix.
        """
        for page in self._pages():
            for index, row in enumerate(page.rows, start=page.first):
                yield self.to_record(row, page.job_id, index)
                self._counts.rows += 1
                if self._counts.rows == self.ABORT_AT_RECORD_COUNT:
                    return
                if self._tap.signal is not None or index % ROWS_PER_LOOK == 0:
                    self._look_around(page.job_id, index + 1)

    def _pages(self) -> Iterator[PageRead]:
        """Read the pages of all jobs that are not bookmarked; note those that end."""
        tap, job_ids = self._tap, self.settings.job_ids
        if tap.report.stopped:
            return
        todo = [job_id for job_id in job_ids if job_id not in self._bookmarks]
        already = len(job_ids) - len(todo)
        self._counts.already_read = already
        self.logger.info("Jobs to read: %d. Already read: %d.", len(todo), already)
        is_test = self.ABORT_AT_RECORD_COUNT is not None
        self._jobs = Jobs(
            self,
            todo,
            self.settings,
            budget=tap.wait_budget if self.waits and not is_test else WaitBudget(0),
            pace=tap.pace,
            counts=self._counts,
            logger=self.logger,
        )
        try:
            with closing(self._jobs.events()) as events:
                for event in events:
                    if isinstance(event, PageRead):
                        yield event
                    elif isinstance(event, JobEnded):
                        self._finish(event)
                    self._look_around()
        except errors.AccessError as error:
            tap.report.stopped = str(error)

    def _finish(self, job: JobEnded) -> None:
        """Note that a job has ended, and bookmark it if it is read."""
        self.job_ended(job.job_id)
        if not job.is_read:
            return
        if job.job_id in self._unwritable:
            reason = "It has a row that is nested too deeply to be written."
            self._counts.failures.append((job.job_id, reason))
            return
        self._counts.read += 1
        if self.is_final(job.job_id):
            self._bookmarks.finish(job.job_id, job.rows)
        if not self._is_batched:
            self._commit()

    def _commit(self) -> None:
        if self._bookmarks.commit():
            self._state_is_new = True
            if self._job_ended is None:
                self._job_ended = clock.now()

    def _look_around(self, job_id: str = "", rows: int = 0) -> None:
        """Do what must not wait: end if told to, write what has grown old.

        Args:
            job_id: The job that is being written, if there is one.
            rows: How many of its rows are written.

        Raises:
            SystemExit: If the run is to end by a signal; with its exit status.
            TargetGoneError: If nobody reads any more.
        """
        if self._tap.signal is not None:
            self._write_state_message()
            raise SystemExit(128 + self._tap.signal)
        # Not only when something is written: of a batch nothing is for a long time.
        self._tap.message_writer.check_reader()
        ended = self._job_ended
        if ended is not None and clock.now() - ended >= STATE_SECONDS:
            self._write_state_message()
        self._tap.message_writer.flush_if_old()
        if job_id:
            self._jobs.show_progress(job_id, rows)

    @cached_property
    def _is_batched(self) -> bool:
        return self.get_batch_config(self.config) is not None

    # Where the SDK's way would lose rows or state (tests: test_sdk_overrides.py)

    @property
    @override
    def replication_method(self) -> str:
        """Incremental by finished job, whatever a catalog says."""
        return REPLICATION_INCREMENTAL

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Never: a target would delete the rows of the jobs that are not read again."""
        return False

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        super().apply_catalog(catalog)
        if self.forced_replication_method != REPLICATION_INCREMENTAL:
            self.logger.warning(
                "The catalog asks for %s replication. Jobs that the state names as"
                " finished are still left out; to read all again run without a state.",
                self.forced_replication_method,
            )

    @override
    def _sync_records(
        self, context: Any = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        """Write the records, page by page if the SDK has nothing to do to any of them.

        Its own loop makes some thirty calls for a record, to look for properties to
        leave out, children to sync and maps to apply.
        """
        if not write_messages or not self._is_plain:
            yield from super()._sync_records(context, write_messages=write_messages)
            return
        self.splits = True
        with self.get_record_counter() as counter, self.get_sync_timer():
            for page in self._pages():
                self._write_page(page)
                counter.increment(len(page.rows))
        self._write_state_message()

    @property
    def _is_plain(self) -> bool:
        """Whether a record goes out as `to_record` makes it."""
        (stream_map, *others) = self.stream_maps
        return (
            self.ABORT_AT_RECORD_COUNT is None
            and type(stream_map) is SameRecordTransform
            and not others
            and not stream_map.flattening_enabled
            and stream_map.stream_alias == self.name
            and all(self.mask.values())
        )

    def _write_page(self, page: PageRead) -> None:
        """Write the rows of a page as records, and STATE where its turn has come."""
        start = 0
        while start < len(page.rows):
            before_state = self.STATE_MSG_FREQUENCY - self._rows_since_state
            rows = page.rows[start : start + min(ROWS_PER_LOOK, before_state)]
            records = [
                self.to_record(row, page.job_id, index)
                for index, row in enumerate(rows, start=page.first + start)
            ]
            if not self._tap.message_writer.write_records(self.name, records):
                self._unwritable.add(page.job_id)
            start += len(rows)
            self._counts.rows += len(rows)
            self._rows_since_state += len(rows)
            self._state_is_new = True
            if self._rows_since_state >= self.STATE_MSG_FREQUENCY:
                self._write_state_message()
            self._look_around(page.job_id, page.first + start)

    @override
    def _write_starting_replication_value(self, context: Any) -> None:
        """There is none: the state holds finished jobs and nothing else."""

    @override
    def _increment_stream_state(
        self, latest_record: Any, *, context: Any = None
    ) -> None:
        """A record changes no state; the end of a job does."""

    @override
    def _write_record_message(self, record: dict[str, Any]) -> None:
        self._state_is_new = True
        try:
            super()._write_record_message(record)
        except RecursionError:
            self._unwritable.add(record["job_id"])

    @override
    def _write_state_message(self) -> None:
        """Write STATE if a record or a finished job has come since the last one.

        The SDK would leave out a STATE that is equal to the last one, so that a target
        could not free what it holds while one long job is read.
        """
        if self._state_is_new:
            self._bookmarks  # noqa: B018 - the state of a stream is never empty
            self._tap.write_message(StateMessage(value=self.tap_state))
            self._state_is_new, self._job_ended = False, None
            self._rows_since_state = 0

    @override
    def _write_batch_message(
        self, encoding: BaseBatchFileEncoding, manifest: list[str]
    ) -> None:
        super()._write_batch_message(encoding, manifest)
        self._commit()
        self._state_is_new = True

    @override
    def _sync_batches(
        self, batch_config: BatchConfig, context: Mapping[str, Any] | None = None
    ) -> None:
        super()._sync_batches(batch_config, context)
        self._commit()
