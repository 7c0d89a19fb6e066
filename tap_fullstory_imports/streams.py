"""The six streams: what each asks for, its key, and how a row becomes a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from tap_fullstory_imports.fullstory import JobStream, count, decode, status_of
from tap_fullstory_imports.singer.timestamps import is_canonical, to_utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from tap_fullstory_imports.fullstory import Row, Status


class _ImportedStream(JobStream):
    """What jobs have imported."""

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params = super().get_url_params(context, next_page_token)
        if self.settings.include_schema:
            params["include_schema"] = "true"
        return params

    @override
    def reported(self, status: Status) -> int:
        return status.imported

    @property
    @override
    def rows_are(self) -> str:
        return f"imported {self.kind}"


class ImportedEvents(_ImportedStream):
    """The events that import jobs have imported, one record for each.

    The API gives a row neither an ID nor its job, and two rows can be the same. So the
    key is the job and the row's place among all rows of the job, counted from 0.

    Source: https://developer.fullstory.com/server/events/get-batch-import-events/
    """

    name = "imported_events"
    path = "/v2/events/batch/{job_id}/imports"
    place = "event_index"
    primary_keys = ("job_id", place)

    @override
    def to_record(self, row: Row, job_id: str, index: int) -> Row:
        timestamp = row.get("timestamp")
        if not is_canonical(timestamp):
            row["timestamp"] = self._to_timestamp(decode(timestamp), job_id)
        row["job_id"] = job_id
        row["event_index"] = index
        return row

    def _to_timestamp(self, said: Any, job_id: str) -> str | None:
        """A timestamp in UTC; None, and counted, if it can't be read."""
        timestamp = to_utc(said)
        if timestamp is None and said is not None:
            seen, example = self.unreadable.get(job_id, (0, str(said)))
            self.unreadable[job_id] = (seen + 1, example)
        return timestamp


class ImportErrors(JobStream):
    """The events that import jobs could not import, one record for each, and why.

    As with imported events, the key is the job and the row's place in it. The event is
    the request as it was sent, with its timestamp: the timestamp may be the very thing
    that is wrong.

    Source: https://developer.fullstory.com/server/events/get-batch-import-errors/
    """

    name = "import_errors"
    path = "/v2/events/batch/{job_id}/errors"
    place = "error_index"
    skips_without_rows = True
    primary_keys = ("job_id", place)


class ImportJobs(JobStream):
    """The import jobs themselves, one record for each.

    A job that is still processing at the end of the run is recorded as it is, and again
    by later runs until its import has ended.

    Source: https://developer.fullstory.com/server/events/get-batch-import-job-details/
    """

    name = "import_jobs"
    path = "/v2/events/batch/{job_id}"
    primary_keys = ("job_id",)

    @override
    def parse_response(self, response: requests.Response) -> Status:
        """The status of a job, which is its only row."""
        return status_of(response)

    @override
    def to_record(self, row: Row, job_id: str, index: int) -> Row:
        job = msgspec.json.decode(row.pop("job"), type=dict[str, msgspec.Raw])
        job.pop("id", None)
        record = {
            "job_id": job_id,
            "status": job.pop("status", None),
            "created_at": to_utc(decode(job.pop("created", None))),
            "finished_at": to_utc(decode(job.pop("finished", None))),
            f"imported_{self.kind}": count(decode(row.pop("imports", 0))),
            f"failed_{self.kind}": count(decode(row.pop("errors", 0))),
        }
        return {**job, **row, **record}  # with what the API may add later


class ImportedUsers(_ImportedStream):
    """The users that import jobs have imported, one record for each.

    A user can be in many jobs, and more than once in one. So the key is the job and the
    row's place in it.

    Source: https://developer.fullstory.com/server/users/get-batch-import-users/
    """

    name = "imported_users"
    kind = "users"
    path = "/v2/users/batch/{job_id}/imports"
    place = "user_index"
    primary_keys = ("job_id", place)


class UserImportErrors(ImportErrors):
    """The users that import jobs could not import, one record for each, and why.

    Source: https://developer.fullstory.com/server/users/get-batch-import-errors/
    """

    name = "user_import_errors"
    kind = "users"
    path = "/v2/users/batch/{job_id}/errors"


class UserImportJobs(ImportJobs):
    """The import jobs of users themselves, one record for each.

    Source: https://developer.fullstory.com/server/users/get-batch-import-job-details/
    """

    name = "user_import_jobs"
    kind = "users"
    path = "/v2/users/batch/{job_id}"


STREAMS = (
    ImportedEvents,
    ImportErrors,
    ImportJobs,
    ImportedUsers,
    UserImportErrors,
    UserImportJobs,
)
