"""The streams: their endpoints, keys and schemas, and how a row becomes a record."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tap_fullstory_imports import errors
from tap_fullstory_imports.pages import (
    UnreadableAnswerError,
    count,
    decode_value,
    status_page_of,
)
from tap_fullstory_imports.replication import JobStream
from tap_fullstory_imports.timestamps import is_canonical, to_utc

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import requests

    from tap_fullstory_imports.pages import Page, Status
    from tap_fullstory_imports.tap import TapFullstoryImports

_FINAL_STATUSES = ("COMPLETED", "FAILED")


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
        self._unreadable: dict[str, tuple[int, str]] = {}

    @property
    @override
    def page_params(self) -> dict[str, Any]:
        return {"include_schema": "true"} if self.settings.include_schema else {}

    @override
    def reported(self, status: Status) -> tuple[int, str]:
        return status.imported, "imported events"

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
            shown = errors.bounded(str(said), 40)
            seen, example = self._unreadable.get(job_id, (0, shown))
            self._unreadable[job_id] = (seen + 1, example)
        return timestamp

    @override
    def job_ended(self, job_id: str) -> None:
        if job_id in self._unreadable:
            seen, example = self._unreadable.pop(job_id)
            self.logger.warning(
                "Job %s: %s could not be read and became null, for example %r.",
                job_id,
                errors.many(seen, "timestamp"),
                example,
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
    def decode(self, response: requests.Response, *, split: bool = False) -> Page:
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
