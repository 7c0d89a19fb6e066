"""The streams as data: endpoint, key, and how a row becomes a record."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.schema.source import StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams.rest import HTTPRequest, PageContext, RESTStream
from typing_extensions import override

from tap_fullstory_imports import fullstory
from tap_fullstory_imports.conform import columns, conform, is_split
from tap_fullstory_imports.fullstory.errors import bounded
from tap_fullstory_imports.fullstory.pages import (
    UnreadableAnswerError,
    count,
    decode_value,
)
from tap_fullstory_imports.fullstory.pagination import NextPageTokenPaginator
from tap_fullstory_imports.schemas import SCHEMAS
from tap_fullstory_imports.timestamps import is_canonical, to_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk import Tap
    from singer_sdk.singerlib import Catalog

    from tap_fullstory_imports.settings import Settings


class JobStream(RESTStream["str | None"]):
    """Rows of many jobs, replicated job by job.

    A job that has been read in full is bookmarked and never asked for again. A job that
    was cut off is read again from its first page: its rows have the same keys then, so
    that a target overwrites what it has.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # JSON comes in, JSON goes out
    schema = StreamSchema(SCHEMAS)
    replication_method = REPLICATION_INCREMENTAL  # by finished job, in any catalog
    emit_activate_version_messages = False  # would delete the rows of finished jobs
    kind = "events"  # what the jobs import
    path: str
    place = ""  # the field with a row's place in its job

    def __init__(self, tap: Tap, settings: Settings | None) -> None:
        """Make a stream of a tap; without settings it can only be described."""
        super().__init__(tap)
        self.forced_replication_method = REPLICATION_INCREMENTAL
        self._settings = settings
        self.unreadable_timestamps: dict[str, tuple[int, str]] = {}

    # What to ask

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        if self._settings is None:
            raise RuntimeError("This stream has no settings: it can't be read.")
        return self._settings

    @cached_property
    def endpoint(self) -> fullstory.Endpoint:
        """Where the rows come from."""
        results, params = self.path.lstrip("/"), {}
        if results == "imports" and self._settings and self._settings.include_schema:
            params["include_schema"] = "true"
        return fullstory.Endpoint(self.name, results, self.kind, params)

    @property
    @override
    def url_base(self) -> str:
        """The address of the API."""
        return self.settings.api_url

    @cached_property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        """Sends the key as it is: Fullstory's `Basic` has no user and no base64."""
        return APIKeyAuthenticator(
            key="Authorization", value=self.settings.client.authorization
        )

    @override
    def get_http_request(self, *, page: PageContext[str | None]) -> HTTPRequest:
        """The request for a page of a job.

        Args:
            page: The job, as ``{"job_id": ...}``, and the token of the page.
        """
        job_id = (page.stream_context or {})["job_id"]
        return HTTPRequest(
            url=f"{self.url_base}{self.endpoint.path(job_id)}",
            params=dict(self.endpoint.page_params(page.next_page_token)),
        )

    @override
    def get_new_paginator(self) -> NextPageTokenPaginator:
        """A paginator for one job, before its first page."""
        return NextPageTokenPaginator()

    @override
    def get_records(
        self, context: Mapping[str, Any] | None
    ) -> Iterable[dict[str, Any]]:
        """Read all jobs of the settings, without bookmarks.

        The command line reads all streams at once, see `sync.py`; this is for programs
        that use the stream alone.

        Raises:
            FullstoryError: If a job can't be read.
        """
        job_ids = self.settings.jobs_of(self.kind)
        jobs = (fullstory.Job(self.endpoint, one) for one in job_ids)
        reader = fullstory.Reader(jobs, self.settings.client, self.settings.policy)
        for event in reader.events():
            if isinstance(event, fullstory.PageRead):
                yield from self.to_records(event.rows, event.job.job_id, event.first)
            elif isinstance(event, fullstory.JobEnded) and event.outcome == "failed":
                raise fullstory.FullstoryError(f"{event.job.job_id}: {event.reason}")

    # What a row is

    def to_records(
        self, rows: list[dict[str, Any]], job_id: str, first: int
    ) -> list[dict[str, Any]]:
        """Make records of rows that follow each other; the rows may be changed for it.

        All columns have the types of the schema: of rows that are still JSON they have
        been checked, others are made to conform.
        """
        records = [
            self.to_record(row, job_id, index)
            for index, row in enumerate(rows, start=first)
        ]
        if not any(map(is_split, records)):
            for record in records:
                conform(record, self._columns)
        return records

    @cached_property
    def _columns(self) -> dict[str, str]:
        return columns(self.schema)

    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        """Make a record of a row of a job; the row may be changed for it."""
        row["job_id"] = job_id
        row[self.place] = index
        return row

    def is_final(self, job_id: str) -> bool:  # noqa: ARG002 - for streams that override it
        """Whether the rows of a job, all read, can't change any more."""
        return True

    # Where the SDK's way would not do

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        super().apply_catalog(catalog)
        if self.forced_replication_method != REPLICATION_INCREMENTAL:
            self.logger.warning(
                "The catalog asks for %s replication. The tap still leaves out the jobs"
                " that the state names as finished. To read all jobs again, run without"
                " a state.",
                self.forced_replication_method,
            )

    @override
    def _increment_stream_state(
        self, latest_record: Any, *, context: Any = None
    ) -> None:
        """Without a replication key the SDK would fail here."""


class ImportedEvents(JobStream):
    """The events that import jobs have imported, one record for each.

    The API gives a row neither an ID nor its job, and two rows can be the same. So the
    key is the job and the row's place among all rows of the job, counted from 0.

    Source: https://developer.fullstory.com/server/events/get-batch-import-events/
    """

    name = "imported_events"
    path = "/imports"
    place = "event_index"
    primary_keys = ("job_id", place)

    @override
    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        if not is_canonical(row.get("timestamp")):
            row["timestamp"] = self._to_timestamp(row.get("timestamp"), job_id)
        row["job_id"] = job_id
        row["event_index"] = index
        return row

    def _to_timestamp(self, value: Any, job_id: str) -> str | None:
        """A timestamp in UTC; None, and counted, if it can't be read."""
        try:
            said = decode_value(value)
        except UnreadableAnswerError:
            said = "…"
        timestamp = to_utc(said)
        if timestamp is None and said is not None:
            shown = bounded(str(said), 40)
            seen, example = self.unreadable_timestamps.get(job_id, (0, shown))
            self.unreadable_timestamps[job_id] = (seen + 1, example)
        return timestamp


class ImportErrors(JobStream):
    """The events that import jobs could not import, one record for each, and why.

    As with imported events, the key is the job and the row's place in it. The event is
    the request as it was sent, with its timestamp: the timestamp may be the very thing
    that is wrong.

    Source: https://developer.fullstory.com/server/events/get-batch-import-errors/
    """

    name = "import_errors"
    path = "/errors"
    place = "error_index"
    primary_keys = ("job_id", place)


class ImportJobs(JobStream):
    """The import jobs themselves, one record for each.

    A job that is still processing when nothing else is left to read is recorded as it
    is, and again by later runs until its import has ended.

    Source: https://developer.fullstory.com/server/events/get-batch-import-job-details/
    """

    name = "import_jobs"
    path = ""
    primary_keys = ("job_id",)

    def __init__(self, tap: Tap, settings: Settings | None) -> None:
        """Make the stream of a tap."""
        super().__init__(tap, settings)
        self._unfinished: set[str] = set()

    @override
    def to_record(self, row: dict[str, Any], job_id: str, index: int) -> dict[str, Any]:
        job = row.pop("job", None) or {}
        job.pop("id", None)
        record = {
            "job_id": job_id,
            "status": job.pop("status", None),
            "created_at": to_utc(job.pop("created", None)),
            "finished_at": to_utc(job.pop("finished", None)),
            f"imported_{self.kind}": count(row.pop("imports", None)) or 0,
            f"failed_{self.kind}": count(row.pop("errors", None)) or 0,
        }
        if record["status"] not in fullstory.FINAL_STATUSES:
            self._unfinished.add(job_id)
        return {**job, **row, **record}  # with what the API may add later

    @override
    def is_final(self, job_id: str) -> bool:
        return job_id not in self._unfinished


class ImportedUsers(JobStream):
    """The users that import jobs have imported, one record for each.

    A user can be in many jobs, and more than once in one. So the key is the job and the
    row's place in it.

    Source: https://developer.fullstory.com/server/users/get-batch-import-users/
    """

    name = "imported_users"
    kind = "users"
    path = "/imports"
    place = "user_index"
    primary_keys = ("job_id", place)


class UserImportErrors(ImportErrors):
    """The users that import jobs could not import, one record for each, and why.

    Source: https://developer.fullstory.com/server/users/get-batch-import-errors/
    """

    name = "user_import_errors"
    kind = "users"


class UserImportJobs(ImportJobs):
    """The import jobs of users themselves, one record for each.

    Source: https://developer.fullstory.com/server/users/get-batch-import-job-details/
    """

    name = "user_import_jobs"
    kind = "users"


STREAMS = (
    ImportedEvents,
    ImportErrors,
    ImportJobs,
    ImportedUsers,
    UserImportErrors,
    UserImportJobs,
)
