"""The tap's streams as the tests know them, each with a job that has rows for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.stand_in import (
    Job,
    make_events,
    make_failed_users,
    make_failures,
    make_users,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = list[dict[str, Any]]

MAKERS: dict[str, tuple[Callable[[int], Rows], Callable[[int], Rows]]] = {
    "events": (make_events, make_failures),
    "users": (make_users, make_failed_users),
}
SETTINGS = {"events": "job_ids", "users": "user_job_ids"}


@dataclass(frozen=True)
class Stream:
    """A stream.

    Attributes:
        kind: What its jobs import.
        endpoint: Where its rows come from, as the stand-in names it.
        place: The field with a row's place in its job; empty if a job is one row.
    """

    name: str
    kind: str
    endpoint: str
    place: str = ""

    @property
    def setting(self) -> str:
        """The setting that lists its jobs."""
        return SETTINGS[self.kind]

    @property
    def keys(self) -> list[str]:
        """The fields of its key."""
        return ["job_id", self.place] if self.place else ["job_id"]

    @property
    def path(self) -> str:
        """The path of its rows, with the place of the job ID."""
        end = f"/{self.endpoint}" if self.place else ""
        return f"/v2/{self.kind}/batch/{{job_id}}{end}"

    def job(self, job_id: str, count: int = 5, **fields: Any) -> Job:
        """A job with so many rows at each of its lists, two on a page."""
        return job_of(self.kind, job_id, count, **fields)

    def rows(self, job: Job) -> Rows:
        """The rows of a job, as the API has them."""
        rows = {"imports": job.rows, "errors": job.failures}
        return rows.get(self.endpoint, [{"status": job.status}])


def job_of(kind: str, job_id: str, count: int = 5, **fields: Any) -> Job:
    """A job of a kind with so many rows at each of its lists, two on a page."""
    rows, failures = (make(count) for make in MAKERS[kind])
    fields = {"rows": rows, "failures": failures, "page_size": 2, **fields}
    return Job(job_id, kind=kind, **fields)


EVERY = (
    Stream("imported_events", "events", "imports", "event_index"),
    Stream("import_errors", "events", "errors", "error_index"),
    Stream("import_jobs", "events", "status"),
    Stream("imported_users", "users", "imports", "user_index"),
    Stream("user_import_errors", "users", "errors", "error_index"),
    Stream("user_import_jobs", "users", "status"),
)
LISTS = tuple(stream for stream in EVERY if stream.place)
STATUSES = tuple(stream for stream in EVERY if not stream.place)
NAMES = tuple(stream.name for stream in EVERY)
