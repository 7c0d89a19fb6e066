"""The six streams: what each asks for, its key, and how a row becomes a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import requests
from typing_extensions import override

from tap_fullstory_imports.fullstory.pages import Row, Status, count, decode, status_of
from tap_fullstory_imports.fullstory.stream import JobStream


class _ImportedStream(JobStream):
    """What jobs have imported."""

    counted = "imported"

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params = super().get_url_params(context, next_page_token)
        if self.settings.include_schema:
            params["include_schema"] = "true"
        return params


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


# Timestamps as every target reads them: RFC 3339, in UTC, with a `Z`.

# 29 February is left out, because it depends on the year.
_CANONICAL = re.compile(
    rb'"(?!0000)\d{4}-'
    rb"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    rb"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z\""
)


def is_canonical(value: Any) -> bool:
    """Whether a value is JSON that `to_utc` would not change.

    True for nearly all timestamps. False for some that are canonical, such as those of
    29 February.
    """
    return isinstance(value, msgspec.Raw) and bool(_CANONICAL.fullmatch(value))


def to_utc(value: Any) -> str | None:
    """Convert an ISO 8601 timestamp to RFC 3339 in UTC.

    One without an offset is taken as UTC, a date as its midnight. At most six digits of
    the fraction are kept: a database's timestamp holds no more.

    Args:
        value: A field of the API's, documented as an ISO 8601 text.

    Returns:
        For example ``2022-03-15T14:23:23.500000Z``; None if the value is no timestamp.
    """
    try:
        moment = datetime.fromisoformat(value.strip().upper())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        return None
    return moment.isoformat().replace("+00:00", "Z")
