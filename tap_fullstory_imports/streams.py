"""The streams: their endpoints, keys and schemas, and how a row becomes a record."""

from __future__ import annotations

import sys
from abc import abstractmethod
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.schema.source import StreamSchema
from singer_sdk.singerlib import StateMessage
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_fullstory_imports import clock, errors
from tap_fullstory_imports.bookmarks import Bookmarks
from tap_fullstory_imports.client import FullstoryStream
from tap_fullstory_imports.jobs import JobRead, Jobs, PageRead, WaitBudget
from tap_fullstory_imports.pages import count, status_page_of
from tap_fullstory_imports.schemas import SCHEMAS
from tap_fullstory_imports.timestamps import to_utc

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import requests
    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.singerlib import Catalog

    from tap_fullstory_imports.pages import Page, Status
    from tap_fullstory_imports.report import Counts
    from tap_fullstory_imports.tap import TapFullstoryImports

STATE_SECONDS = 5.0
ROWS_PER_LOOK = 256
_FINAL_STATUSES = ("COMPLETED", "FAILED")


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
        """Called when the last row of a job has been handed on."""

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
            counts=self._counts,
            logger=self.logger,
        )
        try:
            with closing(self._jobs.events()) as events:
                for event in events:
                    if isinstance(event, PageRead):
                        yield from self._records(event)
                    elif isinstance(event, JobRead):
                        self._finish(event)
                    self._look_around()
        except errors.AccessError as error:
            tap.report.stopped = str(error)

    def _records(self, page: PageRead) -> Iterator[dict[str, Any]]:
        for index, row in enumerate(page.rows, start=page.first):
            yield self.to_record(row, page.job_id, index)
            self._counts.rows += 1
            if self._tap.signal is not None or index % ROWS_PER_LOOK == 0:
                self._jobs.show_progress(page.job_id, index + 1)
                self._look_around()

    def _finish(self, job: JobRead) -> None:
        """Note that all rows of a job have been handed on."""
        self.job_ended(job.job_id)
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

    def _look_around(self) -> None:
        """Do what must not wait: end on a signal, write what has grown old.

        Raises:
            SystemExit: If the run is to end by a signal; with its exit status.
        """
        if self._tap.signal is not None:
            self._write_state_message()
            raise SystemExit(128 + self._tap.signal)
        ended = self._job_ended
        if ended is not None and clock.now() - ended >= STATE_SECONDS:
            self._write_state_message()
        self._tap.message_writer.flush_if_old()

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

    @override
    def _write_batch_message(
        self, encoding: BaseBatchFileEncoding, manifest: list[str]
    ) -> None:
        super()._write_batch_message(encoding, manifest)
        self._commit()

    @override
    def _sync_batches(
        self, batch_config: BatchConfig, context: Mapping[str, Any] | None = None
    ) -> None:
        super()._sync_batches(batch_config, context)
        self._commit()


class ImportedEvents(JobStream):
    """The events that import jobs have imported, one record for each.

    The API gives a row neither an ID nor its job, and two rows can be the same. So the
    key is the job and the row's place among all rows of the job, counted from 0.

    Source: https://developer.fullstory.com/server/events/get-batch-import-events/
    """

    name = "imported_events"
    path = "/imports"
    primary_keys = ("job_id", "event_index")

    def __init__(self, tap: TapFullstoryImports) -> None:
        """Make the stream of a tap."""
        super().__init__(tap)
        self._unreadable: dict[str, list[str]] = {}

    @property
    @override
    def page_params(self) -> dict[str, Any]:
        return {"include_schema": "true"} if self.settings.include_schema else {}

    @override
    def reported(self, status: Status) -> tuple[int, str]:
        return status.imported, "imported events"

    @override
    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        said = row.get("timestamp")
        timestamp = to_utc(said)
        if timestamp is None and said is not None:
            self._unreadable.setdefault(job_id, []).append(
                errors.bounded(str(said), 40)
            )
        row["timestamp"] = timestamp
        row["job_id"] = job_id
        row["event_index"] = index
        return row

    @override
    def job_ended(self, job_id: str) -> None:
        if texts := self._unreadable.pop(job_id, None):
            self.logger.warning(
                "Job %s: %d timestamps can't be read and are null, for example %r.",
                job_id,
                len(texts),
                texts[0],
            )


class ImportErrors(JobStream):
    """The events that import jobs could not import, one record for each, and why.

    As with imported events, the key is the job and the row's place in it. The event is
    the request as it was sent, its timestamp too: it may be the very thing that is
    wrong.

    Source: https://developer.fullstory.com/server/events/get-batch-import-errors/
    """

    name = "import_errors"
    path = "/errors"
    primary_keys = ("job_id", "error_index")

    @override
    def reported(self, status: Status) -> tuple[int, str]:
        return status.failed, "failed events"

    @override
    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        row["job_id"] = job_id
        row["error_index"] = index
        return row


class ImportJobs(JobStream):
    """The import jobs themselves, one record for each.

    A job that is still processing is recorded as it is, and again by later runs until
    it has come to its end.

    Source: https://developer.fullstory.com/server/events/get-batch-import-job-details/
    """

    name = "import_jobs"
    path = ""
    primary_keys = ("job_id",)
    waits = False

    def __init__(self, tap: TapFullstoryImports) -> None:
        """Make the stream of a tap."""
        super().__init__(tap)
        self._unfinished: set[str] = set()

    @override
    def decode(self, response: requests.Response) -> Page:
        return status_page_of(response)

    @override
    def reported(self, status: Status) -> tuple[int, str]:
        return 1, "job"

    @override
    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        job = row.pop("job", None) or {}
        job.pop("id", None)
        record = {
            "job_id": job_id,
            "status": job.pop("status", None),
            "created_at": to_utc(job.pop("created", None)),
            "finished_at": to_utc(job.pop("finished", None)),
            "imported_events": count(row.pop("imports", None)) or 0,
            "failed_events": count(row.pop("errors", None)) or 0,
        }
        if record["status"] not in _FINAL_STATUSES:
            self._unfinished.add(job_id)
        return {**job, **row, **record}  # with what the API may add later

    @override
    def is_final(self, job_id: str) -> bool:
        return job_id not in self._unfinished
